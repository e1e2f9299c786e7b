"""Admission control: a bounded number of worker threads, and a bounded queue in front of them.

Slow work that does not run on the device (decoding, cropping, drawing, JSON) runs in the worker threads, so
that neither the event loop nor the device waits for it. A request gets a slot before its body is read. It
occupies the slot until it is answered and its last job has ended. A job whose request is over ends before its
next stage.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from app.errors import Abandoned, DeadlineExceeded, FacetError, NotReady, OutOfMemory, Overloaded
from app.runtime.request_context import RequestContext, deadline_exceeded
from app.runtime.telemetry import NULL_TELEMETRY, Telemetry
from app.runtime.timing import Timing

T = TypeVar("T")


class Admission:
    """Worker threads with a queue of limited length. Further requests are refused at once.

    Args:
        workers: number of worker threads.
        queue: maximum number of waiting requests.
        timeout_s: maximum seconds from the end of the request body to the response; None sets no limit.
        telemetry: receives queue lengths and refusals.

    Attributes:
        workers: number of worker threads.
    """

    def __init__(
        self, workers: int, queue: int, timeout_s: float | None = None, telemetry: Telemetry = NULL_TELEMETRY
    ) -> None:
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="facet")
        self._capacity = workers + queue
        self._timeout_s = timeout_s
        self._telemetry = telemetry
        # For each admitted request, the number of occupants of its slot: the request itself, and its jobs.
        self._occupants: dict[RequestContext, int] = {}
        self._unanswered: set[RequestContext] = set()
        self._waiting = 0
        self._running = 0
        self._draining = False
        self._lock = threading.Lock()

    @property
    def admitted(self) -> int:
        """The number of requests that occupy a slot."""
        return len(self._occupants)

    @property
    def draining(self) -> bool:
        """Whether new requests are refused because the service is stopping."""
        return self._draining

    def admit(self) -> RequestContext:
        """Admit a request.

        Returns:
            The context of the request. It occupies a slot until `release`.

        Raises:
            Overloaded: all slots are occupied.
            NotReady: the service is stopping.
        """
        with self._lock:
            if self._draining:
                self._telemetry.rejected("draining")
                raise NotReady(
                    "The service is stopping. It finishes the admitted requests and accepts no new ones."
                )
            if len(self._occupants) >= self._capacity:
                self._telemetry.rejected("queue-full")
                raise Overloaded(
                    f"All {self._capacity} slots for running and waiting requests are occupied. "
                    "Try again in a moment."
                )
            context = RequestContext(self._telemetry)
            self._occupants[context] = 1
            self._unanswered.add(context)
        return context

    def release(self, context: RequestContext) -> None:
        """Record that a request was answered. Its slot is free when its last job has ended.

        Further calls with the same context have no effect.
        """
        with self._lock:
            if context in self._unanswered:
                self._unanswered.remove(context)
                self._vacate(context)

    async def run(self, context: RequestContext, job: Callable[[], T]) -> T:
        """Run a job on a worker thread and return its result.

        A job whose caller is cancelled, or whose deadline passes, ends at its next stage. Until then it
        occupies the slot of the request. The first job sets the deadline of the request.

        Args:
            context: the context that `admit` returned.
            job: the work. Its errors are passed on.

        Returns:
            The result of the job.

        Raises:
            DeadlineExceeded: the deadline has passed.
            OutOfMemory: the device or the machine does not have enough memory for the job.
            NotReady: the worker threads have ended.
            TimeoutError: the job itself raised it.
            CancelledError: the caller was cancelled, because the client disconnected.
        """
        if context.deadline is None and self._timeout_s is not None:
            context.deadline = time.monotonic() + self._timeout_s
        context.check()
        timing = Timing(context)
        with self._lock:
            self._occupants[context] += 1
        self._count(waiting=1)
        try:
            future: Future[T] = self._pool.submit(self._work, timing, job)
        except RuntimeError:  # the pool is closed
            self._count(waiting=-1)
            with self._lock:
                self._vacate(context)
            raise NotReady("The service has stopped and accepts no new requests.") from None
        future.add_done_callback(lambda done: self._end(context, done))
        try:
            async with asyncio.timeout_at(context.deadline) as limit:
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if not limit.expired():
                raise
            late = deadline_exceeded()
            self._cancel(context, late)
            raise late from None
        except asyncio.CancelledError:
            self._cancel(context, Abandoned("The client has disconnected."))
            raise
        except OutOfMemory:
            self._telemetry.rejected("device-memory")
            raise

    def drain(self) -> None:
        """Refuse new requests from now on."""
        self._draining = True

    def abandon(self) -> None:
        """Cancel all admitted requests. Their jobs end at their next stage."""
        with self._lock:
            contexts = list(self._occupants)
        for context in contexts:
            context.cancel(Abandoned("The service stopped before the request was finished."))

    def close(self) -> None:
        """End the worker threads: wait for running jobs, and drop waiting ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self, timing: Timing, job: Callable[[], T]) -> T:
        timing.begin_job()
        self._count(waiting=-1, running=1)
        try:
            timing.check()
            return job()
        except MemoryError as error:
            raise OutOfMemory("There is not enough memory for this image. Try again in a moment.") from error
        finally:
            timing.end_job()
            self._count(running=-1)

    def _end(self, context: RequestContext, done: "Future[T]") -> None:
        if done.cancelled():
            self._count(waiting=-1)
        with self._lock:
            self._vacate(context)

    def _vacate(self, context: RequestContext) -> None:
        """Remove one occupant of a slot; the last one frees the slot. The caller holds the lock."""
        self._occupants[context] -= 1
        if not self._occupants[context]:
            del self._occupants[context]

    def _cancel(self, context: RequestContext, error: FacetError) -> None:
        context.cancel(error)
        self._telemetry.rejected("deadline" if isinstance(error, DeadlineExceeded) else "cancelled")

    def _count(self, waiting: int = 0, running: int = 0) -> None:
        with self._lock:
            self._waiting += waiting
            self._running += running
            self._telemetry.queue_depth(self._waiting, self._running)
