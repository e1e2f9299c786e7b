"""Devices: the setting, the execution providers of ONNX Runtime, and the batch sizes for a device."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnxruntime as ort

from app.errors import DeviceUnavailable

DeviceKind = Literal["cpu", "cuda", "tensorrt"]

PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""The execution provider of ONNX Runtime for each kind of device."""

CPU_BATCH_PIXELS = 40_000
"""Maximum number of pixels per call on a CPU. Larger batches exceed the L2 cache and cost more per item."""

GPU_BATCH_PIXELS = 16 * 640 * 512
"""Maximum number of pixels per call on a GPU: 16 canvases of P-Net, which needs 100 bytes per pixel."""

GPU_BATCH_SIZES = (1, 4, 16, 64)
"""Batch sizes on a GPU. They are few, because each is warmed up."""

INSTALL_HINT = (
    "Install requirements/gpu.txt in place of requirements/cpu.txt (onnxruntime-gpu with its CUDA 13 "
    "and cuDNN 9 wheels), and an NVIDIA driver that supports CUDA 13. Without these wheels, name the "
    "folders of the CUDA 13 and cuDNN 9 libraries in LD_LIBRARY_PATH"
)
"""What to install for a GPU, for error messages."""

Provider = str | tuple[str, dict[str, str]]


@dataclass(frozen=True)
class Device:
    """A device that runs nets, and its options.

    Attributes:
        kind: `cpu`, `cuda` or `tensorrt`.
        index: index of the GPU.
        threads: number of CPU threads; 0 uses all cores that the process may use.
        memory_mb: maximum GPU memory per net in MiB; 0 sets no limit.
        engine_cache: folder for compiled TensorRT engines; if None, every start compiles them.
    """

    kind: DeviceKind = "cpu"
    index: int = 0
    threads: int = 0
    memory_mb: int = 0
    engine_cache: Path | None = None

    @property
    def on_cpu(self) -> bool:
        """Whether nets run on the CPU."""
        return self.kind == "cpu"

    @property
    def memory_name(self) -> str:
        """The name of the device's memory in ONNX Runtime."""
        return "cpu" if self.on_cpu else "cuda"

    @property
    def slots(self) -> int:
        """The number of execution slots: one per CPU thread, or one for a GPU."""
        return (self.threads or len(os.sched_getaffinity(0))) if self.on_cpu else 1

    def batch_sizes(self, pixels: int) -> tuple[int, ...]:
        """Return the allowed batch sizes, ascending.

        A GPU has a few sizes, each of which is warmed up. A CPU has all sizes that fit its cache.

        Args:
            pixels: number of pixels of one item.
        """
        if not self.on_cpu:
            return tuple(n for n in GPU_BATCH_SIZES if n == 1 or n * pixels <= GPU_BATCH_PIXELS)
        return tuple(range(1, max(1, CPU_BATCH_PIXELS // pixels) + 1))

    def providers(self) -> list[Provider]:
        """Return the list of execution providers for ONNX Runtime, the preferred one first.

        CUDA selects convolution algorithms by a heuristic, because an exhaustive search takes seconds per
        shape. TF32 is off, so that results on a GPU agree with those on a CPU.
        """
        cuda = {
            "device_id": str(self.index),
            "arena_extend_strategy": "kSameAsRequested",
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": "0",
        }
        if self.memory_mb:
            cuda["gpu_mem_limit"] = str(self.memory_mb << 20)
        providers: list[Provider] = []
        if self.kind == "tensorrt":
            tensorrt = {"device_id": str(self.index)}
            if self.engine_cache is not None:
                folder = str(self.engine_cache)
                tensorrt |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder}
                tensorrt |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": folder}
            providers.append((PROVIDERS["tensorrt"], tensorrt))
        if not self.on_cpu:
            providers.append((PROVIDERS["cuda"], cuda))
        return [*providers, PROVIDERS["cpu"]]


def split_batches(n: int, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Divide n items greedily into batches of allowed sizes. The last batch may be padded.

    The remaining items get the smallest size that holds all of them if they fill at least half of it, else
    the largest size below.

    Args:
        n: number of items.
        sizes: allowed batch sizes, ascending.

    Returns:
        For each batch the index of its first item, the number of items, and the padded size.
    """
    out = []
    start = 0
    while start < n:
        left = n - start
        fitting = [s for s in sizes if s <= left]
        above = [s for s in sizes if s >= left]
        size = fitting[-1] if fitting else sizes[0]
        if above and above[0] <= 2 * left:
            size = above[0]
        out.append((start, min(size, left), size))
        start += size
    return out


def even_size(n: int, largest: int, slots: int) -> int:
    """Return the batch size that divides items evenly among execution slots.

    Args:
        n: number of items.
        largest: maximum batch size.
        slots: number of slots; with one slot the result is n.
    """
    if slots == 1:
        return n
    rounds = -(-n // (largest * slots))
    return -(-n // (rounds * slots))


def candidate_devices(setting: str) -> list[Device]:
    """Return the devices to try, in order.

    Only `auto` gives two devices: CUDA if the installed ONNX Runtime supports it, then the CPU.

    Args:
        setting: `auto`, `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`.

    Raises:
        DeviceUnavailable: the device is unknown, or the installed ONNX Runtime does not support it.
    """
    name, _, index = setting.partition(":")
    if name not in {"auto", *PROVIDERS} or (index and not index.isdigit()):
        raise DeviceUnavailable(
            f"The device {setting!r} is unknown. Use auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N."
        )
    if name == "auto":
        gpu = [Device("cuda")] if PROVIDERS["cuda"] in ort.get_available_providers() else []
        return [*gpu, Device("cpu")]
    require_provider(name)
    return [Device(name, int(index or 0))]  # type: ignore[arg-type] # one of PROVIDERS, as checked above


def require_provider(kind: str) -> None:
    """Check that the installed ONNX Runtime supports a kind of device.

    Args:
        kind: `cpu`, `cuda` or `tensorrt`.

    Raises:
        DeviceUnavailable: it does not.
    """
    available = ort.get_available_providers()
    if PROVIDERS[kind] not in available:
        raise DeviceUnavailable(
            f"The device {kind!r} was requested, but the installed onnxruntime supports only "
            f"{', '.join(sorted(available))}. {INSTALL_HINT}."
        )


def preload_gpu_libraries() -> None:
    """Load the CUDA and cuDNN libraries from their wheels, or from where the system finds libraries.

    What ONNX Runtime prints about missing libraries goes to standard error, because the output of the
    command line is JSON.
    """
    preload = getattr(ort, "preload_dlls", None)
    if preload is not None:
        with redirect_stdout(sys.stderr):
            preload()


def runtime_version() -> str:
    """Return the version of the installed ONNX Runtime."""
    return str(ort.__version__)
