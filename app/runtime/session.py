"""Sessions: the protocol through which the pipeline calls a net, and its form on ONNX Runtime."""

import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import onnxruntime as ort
from numpy import ndarray

from app.errors import BadModel, DeviceUnavailable, OutOfMemory
from app.runtime.device import (
    INSTALL_HINT,
    PROVIDERS,
    Device,
    Provider,
    require_provider,
    split_batches,
)
from app.vision.spec import METADATA_KEY, ModelSpec, parse

T = TypeVar("T")
R = TypeVar("R")

_OUT_OF_MEMORY = re.compile(
    r"out of memory|failed to allocate memory|smaller than requested bytes|alloc_?failed|allocation_failed"
    r"|bad_alloc|bad allocation",
    re.IGNORECASE,
)
"""Messages of ONNX Runtime's arenas, CUDA, cuBLAS, cuDNN and C++ when memory runs out."""


@runtime_checkable
class ModelSession(Protocol):
    """A loaded net. Sessions may be called from any thread."""

    @property
    def spec(self) -> ModelSpec:
        """What the model file says about itself."""

    @property
    def provider(self) -> str:
        """ONNX Runtime's provider in use."""

    @property
    def device(self) -> Device:
        """The device the net runs on."""

    def run(self, images: ndarray) -> Mapping[str, ndarray]:
        """Return the net's outputs by name.

        Args:
            images: uint8 (n, h, w, 3) RGB; float32 vectors for a head or a fusion net, see their specs.
        """

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return `work` of every item, in order; in parallel where the device has several execution slots."""


class OrtSession:
    """A net in ONNX Runtime. It runs on the requested device or does not open.

    On a CPU a `parallel` session uses one thread per call, so that many small calls run side by side, as the
    detector's stages need it. Other sessions use all threads for each call, which suits a single face.

    Args:
        path: the ONNX file; names it in errors.
        device: where to run it.
        parallel: whether calls run side by side.
        content: the bytes of the file, if they were read already.

    Raises:
        BadModel: the file cannot be loaded, or its spec is missing or invalid.
        DeviceUnavailable: the device cannot run it.
    """

    def __init__(
        self, path: Path, device: Device, *, parallel: bool = False, content: bytes | None = None
    ) -> None:
        require_provider(device.kind)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.inter_op_num_threads = 1
        self.device = device
        self.slots = device.slots if parallel else 1
        if parallel and device.on_cpu:
            options.intra_op_num_threads = 1
        else:
            # Spinning makes a second thread worthwhile, but only while the net runs: afterwards the spinning
            # threads would occupy cores that other sessions need.
            options.intra_op_num_threads = device.threads
            options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = _open(path, content, options, device)
        self.provider = self.session.get_providers()[0]
        if self.provider != PROVIDERS[device.kind]:
            raise DeviceUnavailable(
                f"device {device.kind!r} was requested, but {path.name} got {self.provider}: {INSTALL_HINT}"
            )
        self.spec = self._read_spec(path)
        self.outputs = [o.name for o in self.session.get_outputs()]
        self._input = self.session.get_inputs()[0].name
        self._device_lock = threading.Lock()
        self.bindings: dict[tuple[int, ...], DeviceBinding] | None = None if device.on_cpu else {}

    def _read_spec(self, path: Path) -> ModelSpec:
        text = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise BadModel(f"{path.name} has no {METADATA_KEY} metadata")
        try:
            return parse(text)
        except ValueError as error:
            raise BadModel(f"{path.name}: its spec is invalid: {error}") from error

    def batch_sizes(self, images: ndarray) -> tuple[int, ...]:
        """Return the allowed batch sizes, ascending, for images of this shape."""
        return self.device.batch_sizes(math.prod(images.shape[1:3]))

    def empty_outputs(self) -> list[ndarray]:
        """Return the outputs for a batch of no images."""
        shapes = [[d if isinstance(d, int) else 0 for d in o.shape[1:]] for o in self.session.get_outputs()]
        return [np.empty((0, *shape), np.float32) for shape in shapes]

    def run(self, images: ndarray) -> dict[str, ndarray]:
        """Return the net's outputs by name for uint8 (n, h, w, 3), in calls of the allowed batch sizes."""
        plan = split_batches(len(images), self.batch_sizes(images))
        parts = [self.infer(images[start : start + count], size) for start, count, size in plan]
        return dict(zip(self.outputs, concatenate_outputs(parts or [self.empty_outputs()]), strict=True))

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return `work` of every item, one after the other in this thread."""
        return [work(item) for item in items]

    def infer(self, images: ndarray, size: int) -> list[ndarray]:
        """Make one call, padded to `size` images, and return the outputs for uint8 (n, h, w, 3).

        Raises:
            OutOfMemory: the device has no memory for the batch.
        """
        count = len(images)
        if count < size:
            images = np.concatenate([images, np.zeros((size - count, *images.shape[1:]), images.dtype)])
        try:
            outputs = self._call(np.ascontiguousarray(images))
        except Exception as error:  # onnxruntime raises exceptions of many unrelated types
            if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
                raise OutOfMemory(
                    f"The device has no memory for {size} images of {self.spec.model}'s {self.spec.kind}."
                ) from error
            raise
        return [out[:count] for out in outputs]

    def _call(self, images: ndarray) -> list[ndarray]:
        if self.bindings is None:
            return list(self.session.run(self.outputs, {self._input: images}))
        with self._device_lock:
            kept = self.bindings.get(images.shape)
            binding = kept or DeviceBinding(self.session, images, self.device)
            answer = binding.run(images)
            self.bindings[images.shape] = binding
            return answer


class DeviceBinding:
    """Input and outputs of one shape that stay in device memory (ONNX Runtime's I/O binding).

    Without it ONNX Runtime allocates and frees device memory on every call. A GPU sees few shapes, all of
    them warmed up, so the memory is bounded. Not thread-safe.
    """

    def __init__(self, session: ort.InferenceSession, like: ndarray, device: Device) -> None:
        memory, index = device.memory_name, device.index
        self._session = session
        self._input = ort.OrtValue.ortvalue_from_shape_and_type(like.shape, like.dtype.type, memory, index)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._input)
        for output in session.get_outputs():
            self._binding.bind_output(output.name, memory, index)
        # `numpy` copies device memory, but returns views of CPU memory, which the next call would overwrite.
        self._returns_views = memory == "cpu"

    def run(self, images: ndarray) -> list[ndarray]:
        """Return the outputs, in the net's order, for a batch of the bound shape."""
        self._input.update_inplace(images)
        self._session.run_with_iobinding(self._binding)
        answers = [value.numpy() for value in self._binding.get_outputs()]
        return [answer.copy() for answer in answers] if self._returns_views else answers


def concatenate_outputs(parts: Sequence[Sequence[ndarray]]) -> list[ndarray]:
    """Concatenate each output of several calls along the batch axis."""
    columns = zip(*parts, strict=True)
    return [np.concatenate(column) if len(column) > 1 else column[0] for column in columns]


def _open(
    path: Path, content: bytes | None, options: ort.SessionOptions, device: Device
) -> ort.InferenceSession:
    def open_on(providers: list[Provider]) -> ort.InferenceSession:
        # enable_fallback=0: onnxruntime would otherwise leave the device silently.
        source = str(path) if content is None else content
        return ort.InferenceSession(source, options, providers=providers, enable_fallback=0)

    try:
        return open_on(device.providers())
    except Exception as error:  # onnxruntime raises exceptions of many unrelated types
        if not device.on_cpu and _opens(open_on):
            raise DeviceUnavailable(
                f"{path.name} cannot be loaded on {device.kind}: {error}; {INSTALL_HINT}"
            ) from error
        raise BadModel(f"{path.name} cannot be loaded: {error}") from error


def _opens(open_on: Callable[[list[Provider]], ort.InferenceSession]) -> bool:
    try:
        open_on([PROVIDERS["cpu"]])
    except Exception:
        return False
    return True
