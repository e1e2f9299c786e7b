"""Memory of the NVIDIA GPUs that this process can see, as the driver reports it."""

from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any


def used_and_total() -> list[tuple[str, int, int]]:
    """Return name (`cuda:0`), bytes in use by all processes, and bytes in total, for each GPU.

    The list is empty without an NVIDIA driver or without `nvidia-ml-py`, which the GPU requirements install.
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
