"""Work items: work in the queue of a device, which execution slots take in parts."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from numpy import ndarray

from app.runtime.device import Device
from app.runtime.session import concatenate_outputs
from app.runtime.timing import current_timing
from app.vision.spec import ModelSpec


class DeviceNet(Protocol):
    """A net that a scheduler runs."""

    @property
    def telemetry_labels(self) -> tuple[str, str]:
        """The name of the model and the stage, for the telemetry."""

    @property
    def slots(self) -> int:
        """The number of calls that may run at the same time."""

    def batch_sizes(self, images: ndarray) -> tuple[int, ...]:
        """Return the allowed batch sizes, ascending, for items of the shape of these."""

    def empty_outputs(self) -> list[ndarray]:
        """Return the outputs for a batch of no images."""

    def infer(self, images: ndarray, size: int) -> list[ndarray]:
        """Return the outputs of one call, each with n rows, for n images padded to a batch of `size`."""


class ModelNet(DeviceNet, Protocol):
    """The net of a model file. `OrtSession` is the implementation."""

    @property
    def spec(self) -> ModelSpec:
        """The spec of the net."""

    @property
    def provider(self) -> str:
        """The execution provider of ONNX Runtime that runs the net."""

    @property
    def device(self) -> Device:
        """The device that runs the net."""

    @property
    def outputs(self) -> Sequence[str]:
        """The names of the outputs."""


class WorkItem:
    """Work in the queue. Slots take parts of it; several slots may work on one item.

    Attributes:
        done: is set when all parts are complete, or to the first error.
    """

    def __init__(self) -> None:
        self.done: Future[None] = Future()
        self._timing = current_timing()
        self._queued = time.perf_counter()
        self._started = False

    def start(self) -> None:
        """Record the waiting time when a slot takes the first part."""
        if not self._started:
            self._started = True
            if self._timing is not None:
                self._timing.add_wait(time.perf_counter() - self._queued)

    def fail(self, error: BaseException) -> None:
        """Pass an error to the caller. The lock of the scheduler must be held, as for `complete`."""
        if not self.done.done():
            self.done.set_exception(error)

    def wanted(self) -> bool:
        """Return whether the item has not failed and its request is not over; fail it if it is over."""
        if self.done.done():
            return False
        try:
            if self._timing is not None:
                self._timing.check()
        except Exception as error:
            self.fail(error)
            return False
        return True


class InferenceCall(WorkItem):
    """A call of a net.

    Args:
        net: the net.
        images: the input of the net, with n rows.
        part_size: maximum number of images per part, which divides them evenly among the slots.

    Attributes:
        taken: number of images that slots have taken.
    """

    def __init__(self, net: DeviceNet, images: ndarray, part_size: int) -> None:
        super().__init__()
        self.net = net
        self.images = images
        self.part_size = part_size
        self.taken = 0
        self._outputs: dict[int, list[ndarray]] = {}
        self._missing = len(images)

    @property
    def left(self) -> int:
        """The number of images that no slot has taken."""
        return len(self.images) - self.taken

    @property
    def parts(self) -> int:
        """The number of parts of the call."""
        return -(-len(self.images) // self.part_size)

    def take(self, count: int) -> int:
        """Take images from the call.

        Returns:
            The index of the first taken image.
        """
        self.start()
        first = self.taken
        self.taken += count
        return first

    def complete(self, first: int, outputs: list[ndarray]) -> None:
        """Store the outputs of a batch whose first image has the index `first`."""
        self._outputs[first] = outputs
        self._missing -= len(outputs[0])
        if self._missing == 0 and not self.done.done():
            self.done.set_result(None)

    def outputs(self) -> list[ndarray]:
        """Return the outputs of the net, in its order, each with n rows."""
        return concatenate_outputs([self._outputs[first] for first in sorted(self._outputs)])


class MapCall(WorkItem):
    """A function to apply to many items.

    Args:
        work: the function.
        items: the items.

    Attributes:
        taken: number of items that slots have taken.
        results: the results, in the order of the items.
    """

    def __init__(self, work: Callable[[Any], Any], items: Sequence[Any]) -> None:
        super().__init__()
        self.work = work
        self.items = items
        self.taken = 0
        self.results: list[Any] = [None] * len(items)
        self._missing = len(items)

    @property
    def left(self) -> int:
        """The number of items that no slot has taken."""
        return len(self.items) - self.taken

    @property
    def parts(self) -> int:
        """The number of parts: one per item."""
        return len(self.items)

    def take(self) -> int:
        """Take one item.

        Returns:
            The index of the taken item.
        """
        self.start()
        index = self.taken
        self.taken += 1
        return index

    def complete(self, index: int, result: object) -> None:
        """Store the result of the item with this index."""
        self.results[index] = result
        self._missing -= 1
        if self._missing == 0 and not self.done.done():
            self.done.set_result(None)
