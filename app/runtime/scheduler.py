"""The scheduler of a device: all threads put their work into one queue, and execution slots run it.

A CPU has one slot per core, a GPU has one. A free slot takes one part of the item at the head of the queue
and moves the rest of the item to the end, so that a large image does not delay small ones. An item whose
request is over is dropped when a slot would take it. No slot waits for a batch to fill.
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
from app.runtime.work_items import DeviceNet, InferenceCall, MapCall, ModelNet
from app.vision.spec import ModelSpec

T = TypeVar("T")
R = TypeVar("R")

Share = tuple[InferenceCall, int, int]
"""The images of a call that are part of a batch: the call, the index of the first image, their number."""


class DeviceScheduler:
    """The execution slots of a device, and the queue in front of them.

    Each batch has images of one call only. `BatchingScheduler` also merges calls.

    Args:
        slots: number of execution slots.
        telemetry: receives an event for every batch.
    """

    def __init__(self, slots: int, telemetry: Telemetry = NULL_TELEMETRY) -> None:
        self.slots = slots
        self.telemetry = telemetry
        self._pool = ThreadPoolExecutor(slots, "slot")
        all_started = threading.Barrier(slots)  # later there may be no memory for a thread
        for _ in range(slots):
            self._pool.submit(all_started.wait)
        self._queue: deque[InferenceCall | MapCall] = deque()
        self._lock = threading.Lock()
        self._active_slots = 0
        self._device_filled = (
            False  # a net that uses all cores for one call is running; one may run at a time
        )
        self._thread = threading.local()

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Apply a function to items, in parallel if the device has several slots.

        Args:
            work: the function. It may call nets.
            items: the items.

        Returns:
            The results, in the order of the items.
        """
        if self.slots == 1 or len(items) < 2 or self.in_slot:
            return [work(item) for item in items]
        call = MapCall(work, items)
        self._wait_for(call)
        return call.results

    def run(self, net: DeviceNet, images: ndarray) -> list[ndarray]:
        """Run a net on images.

        Args:
            net: the net.
            images: the input of the net: uint8 (n, h, w, 3), or what `ModelSession.run` allows.

        Returns:
            The outputs of the net, in its order, each with n rows.

        Raises:
            OutOfMemory: the device does not have enough memory even for a batch of the smallest size.
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
        """Whether the current thread is an execution slot. A slot runs its work itself."""
        return getattr(self._thread, "in_slot", False)

    @property
    def waiting(self) -> int:
        """The number of items in the queue, including those of which slots have taken parts."""
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
        """Run one slot until the queue has no more work for it."""
        self._thread.in_slot = True
        while True:
            with self._lock:
                work = self._take()
                if work is None:
                    self._active_slots -= 1
                    return
            work()

    def _take(self) -> Callable[[], None] | None:
        """Return the next part of the work in the queue; None if there is none that may run now."""
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
        """Return the images for a batch that begins with this call, and the padded batch size."""
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
        """Return the outputs of a net, which runs in batches of the allowed sizes.

        A batch that needs too much memory is retried in smaller batches.

        Raises:
            OutOfMemory: there is not enough memory for a batch of the smallest size.
        """
        parts = []
        for start, count, size in split_batches(len(images), sizes):
            batch = images[start : start + count]
            try:
                parts.append(net.infer(batch, size))
            except OutOfMemory:
                smaller = [s for s in sizes if s <= size // 2]
                self.telemetry.device_memory_exhausted(*net.telemetry_labels, size)
                if not smaller:
                    raise
                parts.append(self._infer(net, batch, smaller, requests))
            else:
                self.telemetry.batch(*net.telemetry_labels, requests, count)
        return concatenate_outputs(parts)


class ScheduledSession:
    """A net that runs on the scheduler of its device: the `ModelSession` of the service."""

    def __init__(self, net: ModelNet, scheduler: DeviceScheduler) -> None:
        self._net = net
        self._scheduler = scheduler

    @property
    def spec(self) -> ModelSpec:
        """The spec of the net."""
        return self._net.spec

    @property
    def provider(self) -> str:
        """The execution provider of ONNX Runtime that runs the net."""
        return self._net.provider

    @property
    def device(self) -> Device:
        """The device that runs the net."""
        return self._net.device

    def run(self, images: ndarray) -> Mapping[str, ndarray]:
        """Return the outputs of the net by name; see `ModelSession.run`."""
        return dict(zip(self._net.outputs, self._scheduler.run(self._net, images), strict=True))

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return the results of a function for items, in order; see `ModelSession.map`."""
        return self._scheduler.map(work, items)
