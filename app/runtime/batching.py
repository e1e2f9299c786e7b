"""The one owner of a device: work from all threads waits at it, and calls of one net are merged into batches.

Nothing waits on purpose. A lane that is free takes what is there at once; while all are busy, work gathers,
and the next free lane takes as many images of one net and shape as the next allowed batch holds, whosever
they are. A GPU has one lane, a CPU one a core. Lanes go round among the requests, so that a large picture
does not hold up the small ones. Work whose request is over (`Ticket.check`) is dropped when its turn comes.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
from numpy import ndarray

from app.errors import OutOfMemory
from app.runtime.session import batches, joined
from app.runtime.waiting import Call, Each, Net
from app.vision.pyramid import PageRule
from app.vision.spec import ModelSpec

T = TypeVar("T")
R = TypeVar("R")


class Watcher(Protocol):
    """Told of every call of a net, and of every one there was no memory for. Never raises."""

    def batch(self, model: str, kind: str, requests: int, items: int) -> None: ...

    def device_memory(self, model: str, kind: str, items: int) -> None: ...


class Unwatched:
    """A watcher that does nothing."""

    def batch(self, model: str, kind: str, requests: int, items: int) -> None:
        pass

    def device_memory(self, model: str, kind: str, items: int) -> None:
        pass


class Owner:
    """A device's lanes, and the work that waits for them.

    With `merge` off, calls of different requests are not put together, and a net that keeps the whole
    device busy runs in the thread that asks for it.
    """

    def __init__(self, lanes: int, watcher: Watcher, merge: bool = True) -> None:
        self.lanes = lanes
        self.merge = merge
        self.watcher = watcher
        self._pool = ThreadPoolExecutor(lanes, "lane")
        self._queue: deque[Call | Each] = deque()
        self._lock = threading.Lock()
        self._serving = 0
        self._wide = False
        self._mine = threading.local()

    def each(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """`work` on every item, in order; side by side where the device has several lanes."""
        if self.lanes == 1 or len(items) < 2 or self.in_lane:
            return [work(item) for item in items]
        entry = Each(work, items)
        self._wait_for(entry)
        return entry.results

    def run(self, net: Net, images: ndarray) -> list[ndarray]:
        """The net's outputs for images (n, h, w, 3) uint8. Raises OutOfMemory where one image is too many."""
        if len(images) == 0:
            return net.nothing()
        sizes = net.batch_sizes(images)
        if self.in_lane or (net.lanes == 1 and not self.merge):
            return self._infer(net, images, sizes, 1)
        call = Call(net, images, _even(len(images), sizes[-1], net.lanes))
        self._wait_for(call)
        return call.outputs()

    @property
    def in_lane(self) -> bool:
        """Whether this thread is a lane; what it is asked for it does itself."""
        return getattr(self._mine, "lane", False)

    @property
    def waiting(self) -> int:
        """Calls that wait for a lane, those that are in part at work among them."""
        with self._lock:
            return len(self._queue)

    def _wait_for(self, entry: Call | Each) -> None:
        with self._lock:
            self._queue.append(entry)
            more = min(self.lanes - self._serving, entry.pieces)
            self._serving += more
        for _ in range(more):
            self._pool.submit(self._serve)
        entry.done.result()

    def _serve(self) -> None:
        """A lane at work, until there is nothing to take."""
        self._mine.lane = True
        while True:
            with self._lock:
                work = self._take()
                if work is None:
                    self._serving -= 1
                    return
            work()

    def _take(self) -> Callable[[], None] | None:
        """The next piece of work. The request it comes from goes to the end of the queue."""
        for _ in range(len(self._queue)):
            entry = self._queue.popleft()
            if not entry.wanted():
                continue
            if isinstance(entry, Each):
                return self._take_item(entry)
            if entry.net.lanes > 1 or not self._wide:
                return self._take_batch(entry)
            self._queue.append(entry)
        return None

    def _take_item(self, entry: Each) -> Callable[[], None]:
        entry.start()
        index = entry.taken
        entry.taken += 1
        if entry.left:
            self._queue.append(entry)

        def work() -> None:
            try:
                result = entry.work(entry.items[index])
            except BaseException as error:
                with self._lock:
                    entry.fail(error)
                return
            with self._lock:
                entry.answer(index, result)

        return work

    def _take_batch(self, first: Call) -> Callable[[], None]:
        net = first.net
        company = [first]
        if self.merge:
            company += [e for e in self._queue if isinstance(e, Call) and e.may_join(first) and e.wanted()]
        total, sizes = sum(call.left for call in company), net.batch_sizes(first.images)
        if len(company) == 1:
            total = min(total, first.piece)
        elif net.lanes > 1:
            total = min(total, max(first.piece, _even(total, sizes[-1], net.lanes)))
        _, room, size = batches(total, sizes)[0]
        shares: list[tuple[Call, int, int]] = []
        for call in company:
            count = min(room, call.left)
            if count:
                call.start()
                shares.append((call, call.taken, count))
                call.taken += count
                room -= count
        self._queue = deque(e for e in self._queue if e.left)
        if first.left:
            self._queue.append(first)
        if net.lanes == 1:
            self._wide = True
        return lambda: self._run_batch(net, shares, size)

    def _run_batch(self, net: Net, shares: list[tuple[Call, int, int]], size: int) -> None:
        try:
            pieces = [call.images[start : start + count] for call, start, count in shares]
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
                for call, start, count in shares:
                    call.answer(start, [out[offset : offset + count] for out in outputs])
                    offset += count
        finally:
            if net.lanes == 1:
                with self._lock:
                    self._wide = False

    def _infer(self, net: Net, images: ndarray, sizes: Sequence[int], requests: int) -> list[ndarray]:
        """In batches of the sizes; one there is no memory for is tried again in halves or smaller."""
        parts = []
        for start, count, size in batches(len(images), sizes):
            batch = images[start : start + count]
            try:
                parts.append(net.infer(batch, size))
            except OutOfMemory:
                smaller = [s for s in sizes if s <= size // 2]
                self.watcher.device_memory(net.spec.model, net.spec.kind, size)
                if not smaller:
                    raise
                parts.append(self._infer(net, batch, smaller, requests))
            else:
                self.watcher.batch(net.spec.model, net.spec.kind, requests, count)
        return joined(parts)


class SharedSession:
    """A net behind its device's owner, to be called from any thread: a `LaneSession`."""

    def __init__(self, net: Net, owner: Owner) -> None:
        self._net = net
        self._owner = owner

    @property
    def spec(self) -> ModelSpec:
        return self._net.spec

    @property
    def provider(self) -> str:
        return self._net.provider

    @property
    def pages(self) -> PageRule:
        return self._net.pages

    def run(self, images: ndarray) -> Mapping[str, ndarray]:
        """The net's outputs by name for a batch (n, h, w, 3) uint8, which may run together with others."""
        return dict(zip(self._net.outputs, self._owner.run(self._net, images), strict=True))

    def each(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """`work` on every item, in order, side by side where the device has several lanes."""
        return self._owner.each(work, items)


def _even(n: int, most: int, lanes: int) -> int:
    """The size of batches, at most `most`, that deals n items out evenly to the lanes; of one lane, n."""
    if lanes == 1:
        return n
    rounds = -(-n // (most * lanes))
    return -(-n // (rounds * lanes))
