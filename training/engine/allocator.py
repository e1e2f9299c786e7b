"""The memory that TensorFlow frees after each step stays with the process."""

import ctypes
import platform

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
"""Parameters of `mallopt` in glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next allocation, instead of returning it to the kernel.

    By default every tensor above some size is mapped and unmapped. The kernel clears its pages again at each
    step, which takes up to half of the time of a net with large dense layers
    (docs/experiments/training-speed.md). The process then holds its peak until it ends. With another C
    library nothing changes.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
