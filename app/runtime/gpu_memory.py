"""Memory of the NVIDIA GPUs of this machine, as the driver reports it."""

from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any


def used_and_total() -> list[tuple[str, int, int]]:
    """Return the memory of each GPU.

    Returns:
        For each GPU its name (for example `cuda:0`), the bytes in use by all processes, and the total bytes.
        Empty without an NVIDIA driver, or without `nvidia-ml-py`, which requirements/gpu.txt installs.
    """
    nvml = _nvml()
    if nvml is None:
        return []
    gpus = []
    with suppress(nvml.NVMLError):  # a MIG instance refuses the query
        for index in range(nvml.nvmlDeviceGetCount()):
            memory = nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(index))
            gpus.append((f"cuda:{index}", int(memory.used), int(memory.total)))
    return gpus


@cache
def _nvml() -> Any:
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    return nvml
