"""A net on a device: the protocol the pipeline sees, and its ONNX Runtime form.

The only module that imports onnxruntime.
"""

import math
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import onnxruntime as ort
from numpy import ndarray

from app.errors import BadModel, DeviceUnavailable, OutOfMemory
from app.vision.pyramid import PageRule
from app.vision.spec import METADATA_KEY, ModelSpec, PNetSpec, parse

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

PLACES = {"cpu": "cpu", "cuda": "cuda", "tensorrt": "cuda"}
"""Where a device's tensors lie, by ONNX Runtime's name for it."""

CPU_BATCH_PIXELS = 40_000
"""Pixels of one call on a CPU: with more they leave the second-level caches, and each costs more."""

GPU_BATCH_PIXELS = 16 * 640 * 512
"""Pixels of one call on a GPU: 16 of P-Net's pages, whose activations take a hundred times as many bytes."""

T = TypeVar("T")
R = TypeVar("R")

_NO_MEMORY = re.compile(
    r"out of memory|failed to allocate memory|smaller than requested bytes|alloc_?failed|allocation_failed"
    r"|bad_alloc|bad allocation",
    re.IGNORECASE,
)
"""What ONNX Runtime's arenas, CUDA, cuBLAS, cuDNN and C++ say when there is no memory."""

_INSTALL = (
    "install requirements/gpu.txt in place of requirements/cpu.txt (onnxruntime-gpu with its CUDA 13 "
    "and cuDNN 9 wheels), and an NVIDIA driver that supports CUDA 13"
)


@runtime_checkable
class ModelSession(Protocol):
    """A loaded net. `run` takes uint8 NHWC RGB and answers its outputs by name.

    A net of other nets' vectors, as its spec says, takes those, float32.
    """

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def provider(self) -> str: ...

    @property
    def pages(self) -> PageRule: ...

    def run(self, images: ndarray) -> Mapping[str, ndarray]: ...


@runtime_checkable
class LaneSession(ModelSession, Protocol):
    """A net for many small batches: `each` runs work on them, side by side where the device has room."""

    def each(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]: ...


@dataclass(frozen=True)
class Device:
    """Where nets run: `cpu`, `cuda` or `tensorrt`, a device index, and the CPU threads of one net."""

    kind: str = "cpu"
    index: int = 0
    threads: int = 0
    memory_mb: int = 0
    engines: Path | None = None
    """Folder where TensorRT keeps the engines it has built; without one it builds them at every start."""

    def batch_sizes(self, pixels: int) -> tuple[int, ...]:
        """Batch sizes for items of so many pixels: few on a GPU, all warmed; on a CPU what fits its cache."""
        if self.kind != "cpu":
            return tuple(size for size in (1, 4, 16, 64) if size == 1 or size * pixels <= GPU_BATCH_PIXELS)
        return tuple(range(1, max(1, CPU_BATCH_PIXELS // pixels) + 1))

    @property
    def lanes(self) -> int:
        """Calls of one thread each that run side by side: on a CPU one a core, on a GPU one in all."""
        return (self.threads or len(os.sched_getaffinity(0))) if self.kind == "cpu" else 1

    @property
    def pages(self) -> PageRule:
        """The sizes of the pages P-Net reads: one on a GPU; on a CPU small ones, cut to measure."""
        if self.kind != "cpu":
            return PageRule(640, 512, 640, 512, batch=16)
        return PageRule(640, 128, 32, 8, batch=1)

    @property
    def tiles(self) -> PageRule:
        """The same for a P-Net with grids, which sees far around a face: larger ones, one for each lane."""
        if self.kind != "cpu":
            return PageRule(1024, 768, 1024, 768, batch=4)
        return PageRule(1024, 1024, 32, 32, batch=1, columns=self.lanes)

    def providers(self) -> list[str | tuple[str, dict[str, str]]]:
        """ONNX Runtime's provider list for this device, best first.

        On CUDA the kind of convolution is chosen by rule, since trying all of them takes seconds a shape, and
        products are of whole float32 (no TF32), so that a GPU's answers are those of a CPU.
        """
        cuda = {
            "device_id": str(self.index),
            "arena_extend_strategy": "kSameAsRequested",
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": "0",
        }
        if self.memory_mb:
            cuda["gpu_mem_limit"] = str(self.memory_mb << 20)
        wanted: list[str | tuple[str, dict[str, str]]] = []
        if self.kind == "tensorrt":
            tensorrt = {"device_id": str(self.index)}
            if self.engines is not None:
                folder = str(self.engines)
                tensorrt |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder}
                tensorrt |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": folder}
            wanted.append((PROVIDERS["tensorrt"], tensorrt))
        if self.kind in {"cuda", "tensorrt"}:
            wanted.append((PROVIDERS["cuda"], cuda))
        return [*wanted, PROVIDERS["cpu"]]


class OrtSession:
    """A net in ONNX Runtime. Refuses a device that the session did not really get.

    On a CPU, `lanes` gives each call one thread, so that calls may run side by side, which suits the
    cascade's many small batches; without it all threads share each call, which suits a single face.
    `content` is the file's bytes, where they have been read.
    """

    def __init__(
        self, path: Path, device: Device, *, lanes: bool = False, content: bytes | None = None
    ) -> None:
        _require(device.kind)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.inter_op_num_threads = 1
        self.lanes = device.lanes if lanes else 1
        if lanes and device.kind == "cpu":
            options.intra_op_num_threads = 1
        else:
            # Threads that wait in a spin are what makes a second one pay, but only while their net runs:
            # afterwards they would take the core that another session's threads need.
            options.intra_op_num_threads = device.threads
            options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = _open(path, content, options, device)
        self.provider = self.session.get_providers()[0]
        if self.provider != PROVIDERS[device.kind]:
            raise DeviceUnavailable(
                f"device {device.kind!r} was asked for and {path.name} got {self.provider}: {_INSTALL}"
            )
        self.spec = self._read_spec(path)
        self.outputs = [o.name for o in self.session.get_outputs()]
        self._input = self.session.get_inputs()[0].name
        self._device = device
        self._one_at_a_time = threading.Lock()
        self.bound: dict[tuple[int, ...], Bound] | None = None if device.kind == "cpu" else {}

    @property
    def pages(self) -> PageRule:
        grids = isinstance(self.spec, PNetSpec) and self.spec.grids
        return self._device.tiles if grids else self._device.pages

    def _read_spec(self, path: Path) -> ModelSpec:
        text = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise BadModel(f"{path.name} carries no {METADATA_KEY} metadata")
        try:
            return parse(text)
        except ValueError as error:
            raise BadModel(f"{path.name}: its spec is not understood: {error}") from error

    def batch_sizes(self, images: ndarray) -> tuple[int, ...]:
        """The sizes of batches a call may have for images of this shape, rising."""
        return self._device.batch_sizes(math.prod(images.shape[1:3]))

    def nothing(self) -> list[ndarray]:
        """The outputs for no image at all."""
        shapes = [[d if isinstance(d, int) else 0 for d in o.shape[1:]] for o in self.session.get_outputs()]
        return [np.empty((0, *shape), np.float32) for shape in shapes]

    def run(self, images: ndarray) -> dict[str, ndarray]:
        """The net's outputs for a batch (n, h, w, 3) uint8, in calls of the allowed sizes, in this thread."""
        plan = batches(len(images), self.batch_sizes(images))
        parts = [self.infer(images[start : start + count], size) for start, count, size in plan]
        return dict(zip(self.outputs, joined(parts or [self.nothing()]), strict=True))

    def infer(self, images: ndarray, size: int) -> list[ndarray]:
        """One call: the outputs for (n, h, w, 3) uint8, padded to `size`. Raises OutOfMemory."""
        count = len(images)
        if count < size:
            images = np.concatenate([images, np.zeros((size - count, *images.shape[1:]), images.dtype)])
        try:
            outputs = self._call(np.ascontiguousarray(images))
        except Exception as error:  # onnxruntime raises exceptions of many bare types
            if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
                raise OutOfMemory(
                    f"The device has no memory for {size} images of {self.spec.model}'s {self.spec.kind}."
                ) from error
            raise
        return [out[:count] for out in outputs]

    def _call(self, images: ndarray) -> list[ndarray]:
        if self.bound is None:
            return list(self.session.run(self.outputs, {self._input: images}))
        with self._one_at_a_time:
            kept = self.bound.get(images.shape)
            bound = kept or Bound(self.session, images, PLACES[self._device.kind], self._device.index)
            answer = bound.run(images)
            self.bound[images.shape] = bound
            return answer


class Bound:
    """A net's input and outputs of one shape, kept on a device: a call copies a batch there and answers back.

    Without it ONNX Runtime takes device memory for every call, and gives it back. Shapes on a GPU are few and
    all warmed, so that what is kept is bounded. Not for several threads at once.
    """

    def __init__(self, session: ort.InferenceSession, like: ndarray, place: str, index: int) -> None:
        self._session = session
        self._input = ort.OrtValue.ortvalue_from_shape_and_type(like.shape, like.dtype.type, place, index)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._input)
        for output in session.get_outputs():
            self._binding.bind_output(output.name, place, index)
        # Of a device's memory `numpy` makes a copy, of the CPU's a view, which the next call would write to.
        self._views = place == "cpu"

    def run(self, images: ndarray) -> list[ndarray]:
        """The outputs, in the net's order, for a batch of the shape."""
        self._input.update_inplace(images)
        self._session.run_with_iobinding(self._binding)
        answers = [value.numpy() for value in self._binding.get_outputs()]
        return [answer.copy() for answer in answers] if self._views else answers


def _open(
    path: Path, content: bytes | None, options: ort.SessionOptions, device: Device
) -> ort.InferenceSession:
    def on(providers: list[str | tuple[str, dict[str, str]]]) -> ort.InferenceSession:
        # Without onnxruntime's own fallback, which would leave the device and print that on stdout.
        source = str(path) if content is None else content
        return ort.InferenceSession(source, options, providers=providers, enable_fallback=0)

    try:
        return on(device.providers())
    except Exception as error:  # onnxruntime raises exceptions of many bare types
        if device.kind != "cpu" and _loads(on):
            raise DeviceUnavailable(
                f"{path.name} does not load on {device.kind}: {error}; {_INSTALL}"
            ) from error
        raise BadModel(f"{path.name} does not load: {error}") from error


def _loads(on: Callable[[list[str | tuple[str, dict[str, str]]]], ort.InferenceSession]) -> bool:
    try:
        on([PROVIDERS["cpu"]])
    except Exception:
        return False
    return True


def batches(n: int, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """`(start, count, padded size)` for n items in batches of the allowed sizes, greedily, the tail padded.

    `sizes` rises. The tail takes the smallest size that holds it when at least half of it is filled,
    else the largest size below it.
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


def joined(parts: Sequence[Sequence[ndarray]]) -> list[ndarray]:
    """The outputs of several calls, one below the other."""
    columns = zip(*parts, strict=True)
    return [np.concatenate(column) if len(column) > 1 else column[0] for column in columns]


def candidates(setting: str) -> list[Device]:
    """The devices to try, in order, for a setting: `auto`, `cpu`, `cuda[:N]` or `tensorrt[:N]`.

    Only `auto` names more than one: CUDA where this onnxruntime has it, then the CPU.
    Raises DeviceUnavailable for an unknown name, and for a provider that is not installed.
    """
    name, _, index = setting.partition(":")
    if name not in {"auto", *PROVIDERS} or (index and not index.isdigit()):
        raise DeviceUnavailable(
            f"unknown device {setting!r}: auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N"
        )
    if name == "auto":
        gpu = [Device("cuda")] if PROVIDERS["cuda"] in ort.get_available_providers() else []
        return [*gpu, Device("cpu")]
    _require(name)
    return [Device(name, int(index or 0))]


def _require(kind: str) -> None:
    available = ort.get_available_providers()
    if PROVIDERS[kind] not in available:
        raise DeviceUnavailable(
            f"device {kind!r} was asked for, but the installed onnxruntime has only "
            f"{', '.join(sorted(available))}: {_INSTALL}"
        )


def preload_libraries() -> None:
    """Loads CUDA and cuDNN from their wheels, where they are installed."""
    preload = getattr(ort, "preload_dlls", None)
    if preload is not None:
        preload()


def runtime_version() -> str:
    """The version of ONNX Runtime in use."""
    return str(ort.__version__)
