"""Sessions: the protocol by which the pipeline calls a net, and its implementation with ONNX Runtime."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import onnxruntime as ort
from numpy import ndarray

from app.errors import BadModel, DeviceUnavailable, OutOfMemory, is_out_of_memory
from app.runtime.device import (
    INSTALL_HINT,
    PROVIDERS,
    Device,
    Provider,
    require_provider,
    split_batches,
)
from app.vision.spec import COSINE_KEY, METADATA_KEY, FloatCosine, ModelSpec, parse, stage_of

T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class ModelSession(Protocol):
    """A loaded net. Sessions may be called from any thread."""

    @property
    def spec(self) -> ModelSpec:
        """The spec of the net."""

    @property
    def provider(self) -> str:
        """The execution provider of ONNX Runtime that runs the net."""

    @property
    def device(self) -> Device:
        """The device that runs the net."""

    def run(self, images: ndarray) -> Mapping[str, ndarray]:
        """Return the outputs of the net by name, each with n rows.

        Args:
            images: RGB images, uint8 (n, h, w, 3); for a head float32 (n, 2, dimension), for a fusion net
                float32 (n, inputs).
        """

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return the results of a function for items, in order; in parallel if the device has several slots.

        Args:
            work: the function. It may call sessions.
            items: the items.
        """


class OrtSession:
    """A net in ONNX Runtime. If it cannot run on the requested device, it is not opened.

    On a CPU a parallel session uses one thread per call, so that many small calls run at the same time, as
    the stages of a detector need it. Other sessions use all threads for one call, which is best for a single
    face.

    Args:
        path: the ONNX file.
        device: the device to run the net on.
        parallel: whether several calls may run at the same time on a CPU.
        content: the content of the file, if it is already read. Then the path is used for messages only.

    Attributes:
        device: the device.
        slots: the number of calls that may run at the same time.
        session: the session of ONNX Runtime.
        provider: the execution provider of ONNX Runtime that runs the net.
        spec: the spec of the net.
        cosine: for the int8 file of an embedder, the cosines of its vectors to those of the float file.
        outputs: the names of the outputs.
        bindings: memory for input and outputs by input shape; None on a CPU.

    Raises:
        BadModel: the file cannot be loaded, or its spec is missing or invalid.
        DeviceUnavailable: the device cannot run the net.
    """

    def __init__(
        self, path: Path, device: Device, *, parallel: bool = False, content: bytes | None = None
    ) -> None:
        self.device = device
        self.slots = device.slots if parallel else 1
        self.session = open_session(path, device, parallel=parallel, content=content)
        self.provider = self.session.get_providers()[0]
        self.spec, self.cosine = self._read_metadata(path)
        self.outputs = [o.name for o in self.session.get_outputs()]
        self._input = self.session.get_inputs()[0].name
        self._device_lock = threading.Lock()
        self.bindings: dict[tuple[int, ...], DeviceBinding] | None = None if device.on_cpu else {}

    def _read_metadata(self, path: Path) -> tuple[ModelSpec, FloatCosine | None]:
        metadata = self.session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in metadata:
            raise BadModel(f"{path.name} has no {METADATA_KEY} metadata.")
        cosine = metadata.get(COSINE_KEY)
        try:
            return parse(metadata[METADATA_KEY]), cosine and FloatCosine.model_validate_json(cosine)
        except ValueError as error:
            raise BadModel(f"The spec of {path.name} is invalid: {error}.") from error

    @property
    def telemetry_labels(self) -> tuple[str, str]:
        """The name of the model and the stage of the net."""
        return self.spec.model, stage_of(self.spec)

    def batch_sizes(self, images: ndarray) -> tuple[int, ...]:
        """Return the allowed batch sizes, ascending, for images (n, h, w, 3) of this height and width."""
        return self.device.batch_sizes(math.prod(images.shape[1:3]))

    def empty_outputs(self) -> list[ndarray]:
        """Return the outputs for a batch of no images."""
        shapes = [[d if isinstance(d, int) else 0 for d in o.shape[1:]] for o in self.session.get_outputs()]
        return [np.empty((0, *shape), np.float32) for shape in shapes]

    def run(self, images: ndarray) -> dict[str, ndarray]:
        """Return the outputs of the net by name, from calls of the allowed batch sizes.

        Args:
            images: the input, see `ModelSession.run`.

        Raises:
            OutOfMemory: the device does not have enough memory for a batch.
        """
        plan = split_batches(len(images), self.batch_sizes(images))
        parts = [self.infer(images[start : start + count], size) for start, count, size in plan]
        return dict(zip(self.outputs, concatenate_outputs(parts or [self.empty_outputs()]), strict=True))

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return the results of a function for items, in order, all computed in this thread."""
        return [work(item) for item in items]

    def infer(self, images: ndarray, size: int) -> list[ndarray]:
        """Run the net once, on a padded batch.

        Args:
            images: the input with n rows, see `ModelSession.run`.
            size: batch size to which the input is padded.

        Returns:
            The outputs of the net, in its order, each with n rows.

        Raises:
            OutOfMemory: the device does not have enough memory for the batch.
        """
        count = len(images)
        if count < size:
            images = np.concatenate([images, np.zeros((size - count, *images.shape[1:]), images.dtype)])
        try:
            outputs = self._call(np.ascontiguousarray(images))
        except Exception as error:  # onnxruntime raises exceptions of many unrelated types
            if is_out_of_memory(error):
                raise OutOfMemory(
                    f"The device does not have enough memory for {size} images in the {self.spec.kind} of "
                    f"{self.spec.model}. Try again in a moment."
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
    """Memory on the device for the input and the outputs of one shape (I/O binding of ONNX Runtime).

    Without a binding ONNX Runtime allocates and frees device memory in every call. A GPU gets few shapes, all
    of them warmed up, so that the memory is bounded. A binding is not thread-safe.

    Args:
        session: the session of ONNX Runtime.
        like: an input of the shape and type.
        device: the device.
    """

    def __init__(self, session: ort.InferenceSession, like: ndarray, device: Device) -> None:
        memory, index = device.memory_name, device.index
        self._session = session
        self._input = ort.OrtValue.ortvalue_from_shape_and_type(like.shape, like.dtype.type, memory, index)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._input)
        for output in session.get_outputs():
            self._binding.bind_output(output.name, memory, index)
        # `numpy` copies device memory, but returns a view of CPU memory, which the next call would overwrite.
        self._returns_views = memory == "cpu"

    def run(self, images: ndarray) -> list[ndarray]:
        """Return the outputs of the net, in its order, for an input of the bound shape and type."""
        self._input.update_inplace(images)
        self._session.run_with_iobinding(self._binding)
        answers = [value.numpy() for value in self._binding.get_outputs()]
        return [answer.copy() for answer in answers] if self._returns_views else answers


def concatenate_outputs(parts: Sequence[Sequence[ndarray]]) -> list[ndarray]:
    """Return each output of several calls, concatenated along the batch axis."""
    columns = zip(*parts, strict=True)
    return [np.concatenate(column) if len(column) > 1 else column[0] for column in columns]


def open_session(
    path: Path, device: Device, *, parallel: bool = False, content: bytes | None = None
) -> ort.InferenceSession:
    """Open an ONNX file on a device. See `OrtSession` for the arguments.

    Returns:
        The session of ONNX Runtime, which runs on the device.

    Raises:
        BadModel: the file cannot be loaded.
        DeviceUnavailable: the device cannot run the net.
    """
    require_provider(device.kind)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.inter_op_num_threads = 1
    if parallel and device.on_cpu:
        options.intra_op_num_threads = 1
    else:
        # Spinning threads make a call faster. They must stop after the call, because they would occupy
        # cores that other sessions need.
        options.intra_op_num_threads = device.threads
        options.add_session_config_entry("session.force_spinning_stop", "1")
    session = _open(path, content, options, device)
    provider = session.get_providers()[0]
    if provider != PROVIDERS[device.kind]:
        raise DeviceUnavailable(
            f"The device {device.kind!r} was requested, but {path.name} runs on {provider}. {INSTALL_HINT}."
        )
    return session


def _open(
    path: Path, content: bytes | None, options: ort.SessionOptions, device: Device
) -> ort.InferenceSession:
    def open_on(providers: list[Provider]) -> ort.InferenceSession:
        # enable_fallback=0, because onnxruntime would otherwise change the device silently.
        source = str(path) if content is None else content
        return ort.InferenceSession(source, options, providers=providers, enable_fallback=0)

    try:
        return open_on(device.providers())
    except Exception as error:  # onnxruntime raises exceptions of many unrelated types
        if not device.on_cpu and _opens(open_on):
            raise DeviceUnavailable(
                f"{path.name} cannot be loaded on {device.kind}: {error}. {INSTALL_HINT}."
            ) from error
        raise BadModel(f"{path.name} cannot be loaded: {error}.") from error


def _opens(open_on: Callable[[list[Provider]], ort.InferenceSession]) -> bool:
    try:
        open_on([PROVIDERS["cpu"]])
    except Exception:
        return False
    return True
