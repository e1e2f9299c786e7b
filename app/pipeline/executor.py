"""Admission: a bounded number of worker threads, and a bounded number of requests that wait for one.

What is slow and not the device's (decoding, crops, drawing, JSON) runs in these threads, so that neither the
event loop nor the device waits for it. A request takes its place before its body is read and keeps it to
the end; work that is too late, or that nobody waits for any more, is dropped before its next stage.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from app.errors import Abandoned, DeadlineExceeded, FacetError, NotReady, OutOfMemory, Overloaded
from app.pipeline.observer import SILENT, Observer
from app.runtime.ticket import CURRENT, Ticket

T = TypeVar("T")


class Place:
    """A request's place. It is free again once the request has left it and its last job has ended."""

    def __init__(self, free: Callable[[], None]) -> None:
        self.deadline: float | None = None  # of time.monotonic, as an event loop's time is
        self._free = free
        self._holders = 1
        self._over: FacetError | None = None
        self._lock = threading.Lock()
        self._left = False

    def check(self) -> None:
        """Raises DeadlineExceeded or Abandoned where the request is over, and work for it is lost."""
        if self._over is not None:
            raise self._over
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise _too_late()

    def give_up(self, why: FacetError) -> None:
        """From now on `check` raises this."""
        self._over = self._over or why

    def leave(self) -> None:
        """The request is answered. May be called again."""
        if not self._left:
            self._left = True
            self.drop()

    def hold(self) -> None:
        """A job has begun to wait or run here."""
        with self._lock:
            self._holders += 1

    def drop(self) -> None:
        """That job has ended."""
        with self._lock:
            self._holders -= 1
            last = self._holders == 0
        if last:
            self._free()


class Executor:
    """`workers` threads, and room for `queue` more requests; what comes on top is turned away at once.

    A request has `seconds` from the time its body has come, if that is not None.
    """

    def __init__(
        self, workers: int, queue: int, seconds: float | None = None, observer: Observer = SILENT
    ) -> None:
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="facet")
        self._most = workers + queue
        self._seconds = seconds
        self._observer = observer
        self._places: set[Place] = set()
        self._waiting = 0
        self._running = 0
        self._draining = False
        self._lock = threading.Lock()

    @property
    def admitted(self) -> int:
        """Requests that have a place."""
        return len(self._places)

    @property
    def draining(self) -> bool:
        return self._draining

    def admit(self) -> Place:
        """A place for a request. Raises Overloaded when there is none, NotReady while draining."""
        with self._lock:
            if self._draining:
                self._observer.rejected("draining")
                raise NotReady("The service is ending: it finishes what it has begun and takes no new work.")
            if len(self._places) >= self._most:
                self._observer.rejected("queue-full")
                raise Overloaded(
                    f"All {self._most} places for requests at work or waiting are taken; "
                    "try again in a moment."
                )
            place = Place(lambda: self._remove(place))
            self._places.add(place)
        return place

    async def run(self, place: Place, job: Callable[[], T]) -> T:
        """What the job returns or raises, from a worker thread.

        Raises DeadlineExceeded as soon as it is too late, and OutOfMemory. A job that runs when its caller
        goes (cancelled) or the time is up ends at its next stage, and its request keeps the place until then.
        """
        if place.deadline is None and self._seconds is not None:
            place.deadline = time.monotonic() + self._seconds
        place.check()
        ticket = Ticket(place.check, self._observer)
        place.hold()
        self._count(waiting=1)
        try:
            future: Future[T] = self._pool.submit(self._work, ticket, job)
        except RuntimeError:  # the pool is closed
            self._count(waiting=-1)
            place.drop()
            raise NotReady("The service has ended.") from None
        future.add_done_callback(lambda done: self._end(place, done))
        try:
            async with asyncio.timeout_at(place.deadline) as limit:
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if not limit.expired():
                raise
            late = _too_late()
            self._give_up(place, late)
            raise late from None
        except asyncio.CancelledError:
            self._give_up(place, Abandoned("The client has gone."))
            raise
        except OutOfMemory:
            self._observer.rejected("device-memory")
            raise

    def drain(self) -> None:
        """No new request is admitted from now on."""
        self._draining = True

    def abandon(self) -> None:
        """Whatever still runs ends at its next stage."""
        with self._lock:
            places = list(self._places)
        for place in places:
            place.give_up(Abandoned("The service has ended before this was done."))

    def close(self) -> None:
        """Ends the threads once their jobs are done; jobs that have not begun are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self, ticket: Ticket, job: Callable[[], T]) -> T:
        ticket.waited = time.perf_counter() - ticket.begun
        CURRENT.set(ticket)
        self._count(waiting=-1, running=1)
        try:
            ticket.check()
            return job()
        except MemoryError as error:
            raise OutOfMemory("There is no memory for this picture now; try again in a moment.") from error
        finally:
            CURRENT.set(None)
            self._count(running=-1)

    def _end(self, place: Place, done: "Future[T]") -> None:
        if done.cancelled():
            self._count(waiting=-1)
        place.drop()

    def _give_up(self, place: Place, why: FacetError) -> None:
        place.give_up(why)
        self._observer.rejected("deadline" if isinstance(why, DeadlineExceeded) else "cancelled")

    def _count(self, waiting: int = 0, running: int = 0) -> None:
        with self._lock:
            self._waiting += waiting
            self._running += running
            self._observer.queue_depth(self._waiting, self._running)

    def _remove(self, place: Place) -> None:
        with self._lock:
            self._places.discard(place)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The request was not done in the time it may take, and was dropped; try again later."
    )
