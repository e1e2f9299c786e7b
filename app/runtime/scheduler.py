"""The scheduler of a device: all threads queue their work here, and execution slots take it in turn.

A CPU has one slot per core, a GPU one. A free slot takes the next part of the work at the head of the queue
and moves the rest to the end, so that a large picture does not delay small ones. Work whose request is over
is dropped when its turn comes. Nothing waits for a batch to fill.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy import ndarray

from app.errors import OutOfMemory
from app.runtime.device import Device, even_size, split_batches
from app.runtime.session import concatenate_outputs
from app.runtime.telemetry import NULL_TELEMETRY, Telemetry
from app.runtime.work_items import DeviceNet, InferenceCall, MapCall
from app.vision.spec import ModelSpec, stage_of

T = TypeVar("T")
R = TypeVar("R")

Share = tuple[InferenceCall, int, int]
"""Images of a call that are part of a batch: the call, the index of the first image, their number."""


class DeviceScheduler:
    """Execution slots of a device, and the queue in front of them.

    Each batch comes from a single call. `dynamic_batching.py` has the variant for a GPU, which merges calls.
    """

    def __init__(self, slots: int, telemetry: Telemetry = NULL_TELEMETRY) -> None:
        self.slots = slots
        self.telemetry = telemetry
        self._pool = ThreadPoolExecutor(slots, "slot")
        self._queue: deque[InferenceCall | MapCall] = deque()
        self._lock = threading.Lock()
        self._active_slots = 0
        self._device_filled = False  # by a net that uses all cores for each call: one of those at a time
        self._thread = threading.local()

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return `work` of every item, in order; in parallel where the device has several slots."""
        if self.slots == 1 or len(items) < 2 or self.in_slot:
            return [work(item) for item in items]
        call = MapCall(work, items)
        self._wait_for(call)
        return call.results

    def run(self, net: DeviceNet, images: ndarray) -> list[ndarray]:
        """Return the net's outputs for uint8 (n, h, w, 3).

        Raises:
            OutOfMemory: the device has no memory even for a batch of the smallest size.
        """
        if len(images) == 0:
            return net.empty_outputs()
        sizes = net.batch_sizes(images)
        if self.in_slot:
            return self._infer(net, images, sizes, 1)
        call = InferenceCall(net, images, even_size(len(images), sizes[-1], net.slots))
        self._wait_for(call)
        return call.outputs()

    @property
    def in_slot(self) -> bool:
        """Whether this thread is an execution slot; it does all work itself."""
        return getattr(self._thread, "in_slot", False)

    @property
    def waiting(self) -> int:
        """Number of items in the queue, including those taken in part."""
        with self._lock:
            return len(self._queue)

    def _wait_for(self, item: InferenceCall | MapCall) -> None:
        with self._lock:
            self._queue.append(item)
            started = min(self.slots - self._active_slots, item.parts)
            self._active_slots += started
        for _ in range(started):
            self._pool.submit(self._serve)
        item.done.result()

    def _serve(self) -> None:
        """Run one slot until there is nothing to take."""
        self._thread.in_slot = True
        while True:
            with self._lock:
                work = self._take()
                if work is None:
                    self._active_slots -= 1
                    return
            work()

    def _take(self) -> Callable[[], None] | None:
        """Take the next part of the queue's work; None if there is none this slot may run."""
        for _ in range(len(self._queue)):
            item = self._queue.popleft()
            if not item.wanted():
                continue
            if isinstance(item, MapCall):
                return self._take_item(item)
            if item.net.slots > 1 or not self._device_filled:
                return self._take_batch(item)
            self._queue.append(item)
        return None

    def _take_item(self, call: MapCall) -> Callable[[], None]:
        index = call.take()
        if call.left:
            self._queue.append(call)

        def work() -> None:
            try:
                result = call.work(call.items[index])
            except BaseException as error:
                with self._lock:
                    call.fail(error)
                return
            with self._lock:
                call.complete(index, result)

        return work

    def _take_batch(self, call: InferenceCall) -> Callable[[], None]:
        net = call.net
        shares, size = self._next_batch(call)
        if call.left:
            self._queue.append(call)
        if net.slots == 1:
            self._device_filled = True
        return lambda: self._run_batch(net, shares, size)

    def _next_batch(self, call: InferenceCall) -> tuple[list[Share], int]:
        """Take images for one batch that begins with this call; return them and the padded batch size."""
        sizes = call.net.batch_sizes(call.images)
        _, count, size = split_batches(min(call.left, call.part_size), sizes)[0]
        return [(call, call.take(count), count)], size

    def _run_batch(self, net: DeviceNet, shares: list[Share], size: int) -> None:
        try:
            pieces = [call.images[first : first + count] for call, first, count in shares]
            images = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
            allowed = tuple(s for s in net.batch_sizes(images) if s <= size)
            outputs = self._infer(net, images, allowed, len(shares))
        except BaseException as error:
            with self._lock:
                for call, _, _ in shares:
                    call.fail(error)
        else:
            offset = 0
            with self._lock:
                for call, first, count in shares:
                    call.complete(first, [out[offset : offset + count] for out in outputs])
                    offset += count
        finally:
            if net.slots == 1:
                with self._lock:
                    self._device_filled = False

    def _infer(self, net: DeviceNet, images: ndarray, sizes: Sequence[int], requests: int) -> list[ndarray]:
        """Run in batches of the sizes; a batch that needs too much memory is retried in smaller ones."""
        parts = []
        for start, count, size in split_batches(len(images), sizes):
            batch = images[start : start + count]
            try:
                parts.append(net.infer(batch, size))
            except OutOfMemory:
                smaller = [s for s in sizes if s <= size // 2]
                self.telemetry.device_memory_exhausted(net.spec.model, stage_of(net.spec), size)
                if not smaller:
                    raise
                parts.append(self._infer(net, batch, smaller, requests))
            else:
                self.telemetry.batch(net.spec.model, stage_of(net.spec), requests, count)
        return concatenate_outputs(parts)


class ScheduledSession:
    """A net behind its device's scheduler: the `ModelSession` of the service."""

    def __init__(self, net: DeviceNet, scheduler: DeviceScheduler) -> None:
        self._net = net
        self._scheduler = scheduler

    @property
    def spec(self) -> ModelSpec:
        """What the model file says about itself."""
        return self._net.spec

    @property
    def provider(self) -> str:
        """ONNX Runtime's provider in use."""
        return self._net.provider

    @property
    def device(self) -> Device:
        """The device the net runs on."""
        return self._net.device

    def run(self, images: ndarray) -> Mapping[str, ndarray]:
        """Return the net's outputs by name for uint8 (n, h, w, 3)."""
        return dict(zip(self._net.outputs, self._scheduler.run(self._net, images), strict=True))

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return `work` of every item, in order; in parallel where the device has several slots."""
        return self._scheduler.map(work, items)
