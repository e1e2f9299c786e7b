"""Memory of the NVIDIA devices this process may see, by the driver's own count."""

from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any


def used_and_total() -> list[tuple[str, int, int]]:
    """Of each device its name (`cuda:0`), and the bytes used, by whatever process, and there in all.

    Nothing where there is no NVIDIA driver, or no binding for it (it comes with the GPU requirements).
    """
    nvml = _nvml()
    if nvml is None:
        return []
    found = []
    with suppress(nvml.NVMLError):  # a part of a device may not be asked
        for index in range(nvml.nvmlDeviceGetCount()):
            memory = nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(index))
            found.append((f"cuda:{index}", int(memory.used), int(memory.total)))
    return found


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
