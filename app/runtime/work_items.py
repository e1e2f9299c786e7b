"""Work items: what waits for a device's execution slots, and the parts into which it is taken."""

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
    """A net that a scheduler calls, as `OrtSession` is; `slots` of its calls may run in parallel."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def provider(self) -> str: ...

    @property
    def device(self) -> Device: ...

    @property
    def slots(self) -> int: ...

    @property
    def outputs(self) -> Sequence[str]: ...

    def batch_sizes(self, images: ndarray) -> tuple[int, ...]: ...

    def empty_outputs(self) -> list[ndarray]: ...

    def infer(self, images: ndarray, size: int) -> list[ndarray]: ...


class WorkItem:
    """Work that waits in the queue. Slots take parts of it, several at once if there are enough."""

    def __init__(self) -> None:
        self.done: Future[None] = Future()
        self._timing = current_timing()
        self._queued = time.perf_counter()
        self._started = False

    def start(self) -> None:
        """End the wait: a slot has taken the first part."""
        if not self._started:
            self._started = True
            if self._timing is not None:
                self._timing.add_wait(time.perf_counter() - self._queued)

    def fail(self, error: BaseException) -> None:
        """Pass the error to the caller. The scheduler's lock is held, as for `complete`."""
        if not self.done.done():
            self.done.set_exception(error)

    def wanted(self) -> bool:
        """Return whether it has not failed and its request is not over; fail it if the request is over."""
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
    """Images for a net. `part_size` divides them evenly among the slots."""

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
        """Number of images that no slot has taken."""
        return len(self.images) - self.taken

    @property
    def parts(self) -> int:
        """Number of parts into which the call is divided."""
        return -(-len(self.images) // self.part_size)

    def take(self, count: int) -> int:
        """Take so many images and return the index of the first."""
        self.start()
        first = self.taken
        self.taken += count
        return first

    def complete(self, first: int, outputs: list[ndarray]) -> None:
        """Store the outputs of the images from `first` on."""
        self._outputs[first] = outputs
        self._missing -= len(outputs[0])
        if self._missing == 0 and not self.done.done():
            self.done.set_result(None)

    def outputs(self) -> list[ndarray]:
        """Return the net's outputs for all images, in their order."""
        return concatenate_outputs([self._outputs[first] for first in sorted(self._outputs)])


class MapCall(WorkItem):
    """A function applied to many items."""

    def __init__(self, work: Callable[[Any], Any], items: Sequence[Any]) -> None:
        super().__init__()
        self.work = work
        self.items = items
        self.taken = 0
        self.results: list[Any] = [None] * len(items)
        self._missing = len(items)

    @property
    def left(self) -> int:
        """Number of items that no slot has taken."""
        return len(self.items) - self.taken

    @property
    def parts(self) -> int:
        """Number of parts: one per item."""
        return len(self.items)

    def take(self) -> int:
        """Take one item and return its index."""
        self.start()
        index = self.taken
        self.taken += 1
        return index

    def complete(self, index: int, result: object) -> None:
        """Store the result of an item."""
        self.results[index] = result
        self._missing -= 1
        if self._missing == 0 and not self.done.done():
            self.done.set_result(None)
