"""Devices: which one a setting names, ONNX Runtime's providers for it, and the batch sizes that suit it."""

import os
from collections.abc import Mapping, Sequence
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

CPU_BATCH_PIXELS = 40_000
"""Maximum pixels per CPU call. Larger batches exceed the L2 cache and cost more per item."""

GPU_BATCH_PIXELS = 16 * 640 * 512
"""Maximum pixels per GPU call: 16 canvases of P-Net, whose activations need a hundred times as many bytes."""

GPU_BATCH_SIZES = (1, 4, 16, 64)

INSTALL_HINT = (
    "install requirements/gpu.txt in place of requirements/cpu.txt (onnxruntime-gpu with its CUDA 13 "
    "and cuDNN 9 wheels), and an NVIDIA driver that supports CUDA 13"
)

Provider = str | tuple[str, dict[str, str]]


@dataclass(frozen=True)
class Device:
    """A device that nets run on.

    Attributes:
        kind: `cpu`, `cuda` or `tensorrt`.
        index: which GPU.
        threads: CPU threads; 0 for all cores that the process may use.
        memory_mb: maximum GPU memory per net in MiB; 0 for no limit.
        engine_cache: folder in which TensorRT keeps compiled engines; without one it compiles at each start.
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
        """ONNX Runtime's name of the memory in which the device keeps tensors."""
        return "cpu" if self.on_cpu else "cuda"

    @property
    def slots(self) -> int:
        """Number of execution slots, which run single-threaded calls: one per core; one on a GPU."""
        return (self.threads or len(os.sched_getaffinity(0))) if self.on_cpu else 1

    def batch_sizes(self, pixels: int) -> tuple[int, ...]:
        """Return the allowed batch sizes, ascending, for items of so many pixels.

        A GPU gets a few sizes, each of which is warmed up. A CPU takes every size up to what fits its cache.
        """
        if not self.on_cpu:
            return tuple(n for n in GPU_BATCH_SIZES if n == 1 or n * pixels <= GPU_BATCH_PIXELS)
        return tuple(range(1, max(1, CPU_BATCH_PIXELS // pixels) + 1))

    def providers(self) -> list[Provider]:
        """Return ONNX Runtime's provider list, best first.

        CUDA selects convolution algorithms by heuristic, since an exhaustive search takes seconds per shape,
        and multiplies in full float32 (no TF32), so that a GPU answers as a CPU does.
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
    """Divide n items into batches of the allowed sizes, greedily; the last one may be padded.

    The rest takes the smallest size that holds it if it fills at least half of it, else the largest size
    below it.

    Args:
        n: number of items.
        sizes: allowed batch sizes, ascending.

    Returns:
        `(start, count, padded size)` per batch.
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
    """Return the batch size, at most `largest`, that divides n items evenly among slots; n for one slot."""
    if slots == 1:
        return n
    rounds = -(-n // (largest * slots))
    return -(-n // (rounds * slots))


def candidate_devices(setting: str) -> list[Device]:
    """Return the devices to try, in order, for `auto`, `cpu`, `cuda[:N]` or `tensorrt[:N]`.

    Only `auto` gives more than one: CUDA if this onnxruntime supports it, then the CPU.

    Raises:
        DeviceUnavailable: the name is unknown, or this onnxruntime lacks the provider.
    """
    name, _, index = setting.partition(":")
    if name not in {"auto", *PROVIDERS} or (index and not index.isdigit()):
        raise DeviceUnavailable(
            f"unknown device {setting!r}: use auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N"
        )
    if name == "auto":
        gpu = [Device("cuda")] if PROVIDERS["cuda"] in ort.get_available_providers() else []
        return [*gpu, Device("cpu")]
    require_provider(name)
    return [Device(name, int(index or 0))]  # type: ignore[arg-type] # one of PROVIDERS, as checked above


def require_provider(kind: str) -> None:
    """Raise DeviceUnavailable if this onnxruntime lacks the provider for that kind of device."""
    available = ort.get_available_providers()
    if PROVIDERS[kind] not in available:
        raise DeviceUnavailable(
            f"device {kind!r} was requested, but the installed onnxruntime supports only "
            f"{', '.join(sorted(available))}: {INSTALL_HINT}"
        )


def preload_gpu_libraries() -> None:
    """Load CUDA and cuDNN from their wheels, if they are installed."""
    preload = getattr(ort, "preload_dlls", None)
    if preload is not None:
        preload()


def runtime_version() -> str:
    """Return the version of ONNX Runtime."""
    return str(ort.__version__)
