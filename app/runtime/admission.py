"""Admission control: a bounded number of worker threads, and a bounded queue in front of them.

Slow work that does not run on the device (decoding, cropping, drawing, JSON) runs in the worker threads, so
that neither the event loop nor the device waits for it. A request takes a place when its first job is
submitted, that is when its body is complete. It keeps the place until it is answered and its last job has
ended. Requests with large images (`app/runtime/worker_threads.py`) hold at most half of the places. A job
whose request is over ends before its next stage.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

from app.errors import Abandoned, NotReady, OutOfMemory, Overloaded
from app.runtime.request_context import RequestContext
from app.runtime.telemetry import NULL_TELEMETRY, RejectReason, Telemetry
from app.runtime.worker_threads import Job, WorkerThreads

T = TypeVar("T")

MAX_STREAMS = 4
"""Maximum number of responses at a time that are read from the gallery while they are sent."""


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
        self._threads = WorkerThreads(workers, self._turned_large, self._ended, telemetry)
        self._places = workers + queue
        large = self._threads.for_large
        self._places_for_large = large + queue // 2 if large else self._places
        self._timeout_s = timeout_s
        self._telemetry = telemetry
        # For each admitted request, the number of its occupants: the request itself, and its jobs.
        self._occupants: dict[RequestContext, int] = {}
        self._unanswered: set[RequestContext] = set()
        self._placed: set[RequestContext] = set()
        self._large: set[RequestContext] = set()
        self._streams = 0
        self._stopping = False
        self._draining = False
        self._lock = threading.Lock()

    @property
    def admitted(self) -> int:
        """The number of requests that are admitted and not over, including those whose body is arriving."""
        return len(self._occupants)

    @property
    def stopping(self) -> bool:
        """Whether the service will refuse new requests soon, or refuses them already."""
        return self._stopping

    @property
    def draining(self) -> bool:
        """Whether new requests are refused because the service is stopping."""
        return self._draining

    def admit(self) -> RequestContext:
        """Admit a request, before its body is read. It takes a place with its first job.

        Returns:
            The context of the request, which is admitted until `release`.

        Raises:
            Overloaded: all places are taken.
            NotReady: the service is stopping.
        """
        with self._lock:
            if self._draining:
                self._telemetry.rejected("draining")
                raise NotReady(
                    "The service is stopping. It finishes the admitted requests and accepts no new ones."
                )
            self._check_places()
            context = RequestContext(self._telemetry)
            self._occupants[context] = 1
            self._unanswered.add(context)
        return context

    def place(self, context: RequestContext, large: bool = False) -> None:
        """Take the place of a request before its first job, for requests of several jobs. `run` does it, too.

        Args:
            context: the context that `admit` returned.
            large: whether its jobs are treated as large.

        Raises:
            Overloaded: all places, or all places for large images, are taken.
        """
        with self._lock:
            if context not in self._placed:
                self._check_places()
                self._placed.add(context)
            if large:
                self._place_large(context)

    def release(self, context: RequestContext) -> None:
        """Record that a request was answered. Its place is free when its last job has ended.

        Further calls with the same context have no effect.
        """
        with self._lock:
            if context in self._unanswered:
                self._unanswered.remove(context)
                self._vacate(context)

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Admit a response that is read from the gallery while it is sent, until it ends. It takes no place.

        Yields:
            None.

        Raises:
            Overloaded: there are too many such responses.
            NotReady: the service is stopping.
        """
        context = self.admit()
        try:
            with self._lock:
                if self._streams >= MAX_STREAMS:
                    self._refuse(f"All {MAX_STREAMS} places for exports are taken.")
                self._streams += 1
            try:
                yield
            finally:
                with self._lock:
                    self._streams -= 1
        finally:
            self.release(context)

    async def run(self, context: RequestContext, job: Callable[[], T], large: bool = False) -> T:
        """Run a job on a worker thread and return its result.

        A job whose caller is cancelled, or whose deadline passes, ends at its next stage. It begins no change
        of the gallery, and undoes an import that is not complete. The first job takes
        the place and sets the deadline of the request. A job with a large image may be started twice.

        Args:
            context: the context that `admit` returned.
            job: the work. Its errors are passed on.
            large: whether the job is treated as large from the start.

        Returns:
            The result of the job.

        Raises:
            DeadlineExceeded: the deadline has passed.
            Overloaded: all places, or all places for large images, are taken.
            OutOfMemory: the device or the machine does not have enough memory for the job.
            NotReady: the worker threads have ended.
            TimeoutError: the job itself raised it.
            CancelledError: the caller was cancelled, because the client disconnected.
        """
        if context.deadline is None and self._timeout_s is not None:
            context.deadline = time.monotonic() + self._timeout_s
        context.check()
        self.place(context, large)
        submitted = Job(context, job, large)
        with self._lock:
            self._occupants[context] += 1
        try:
            async with asyncio.timeout_at(context.deadline) as limit:
                # No variable keeps the future: it has the error, whose traceback has this frame.
                result: T = await self._threads.submit(submitted)
                return result
        except TimeoutError:
            if not limit.expired():
                raise
            self._count_end(context, "deadline")
            late = context.expire()
            self._threads.drop(submitted)
            raise late from None
        except asyncio.CancelledError:
            self._count_end(context, "cancelled")
            context.cancel(Abandoned("The client has disconnected."))
            self._threads.drop(submitted)
            raise
        except OutOfMemory:
            self._telemetry.rejected("device-memory")
            raise

    def announce_stop(self) -> None:
        """Report that the service is stopping. New requests are still admitted."""
        self._stopping = True

    def drain(self) -> None:
        """Refuse new requests from now on."""
        self._stopping = True
        self._draining = True

    def abandon(self) -> None:
        """Cancel all admitted requests. Their jobs end at their next stage."""
        with self._lock:
            contexts = list(self._occupants)
        for context in contexts:
            context.cancel(Abandoned("The service stopped before the request was finished."))

    def close(self) -> None:
        """End the worker threads: wait for running jobs, and drop waiting ones."""
        self._threads.close()

    def _turned_large(self, job: Job) -> None:
        with self._lock:
            self._place_large(job.context)

    def _place_large(self, context: RequestContext) -> None:
        """Record that a request is large. The caller holds the lock, as for the three methods below.

        Raises:
            Overloaded: all places for large requests are taken.
        """
        if context not in self._large:
            if len(self._large) >= self._places_for_large:
                self._refuse(f"All {self._places_for_large} places for large images and batches are taken.")
            self._large.add(context)

    def _check_places(self) -> None:
        """Check that a place is free.

        Raises:
            Overloaded: all places are taken.
        """
        if len(self._placed) >= self._places:
            self._refuse(f"All {self._places} places for running and waiting requests are taken.")

    def _refuse(self, reason: str) -> NoReturn:
        self._telemetry.rejected("queue-full")
        raise Overloaded(f"{reason} Try again later.", retry_after_s=self._threads.wait_s())

    def _vacate(self, context: RequestContext) -> None:
        """Remove one occupant of a request; the last one frees its place."""
        self._occupants[context] -= 1
        if not self._occupants[context]:
            del self._occupants[context]
            self._placed.discard(context)
            self._large.discard(context)

    def _ended(self, job: Job) -> None:
        with self._lock:
            self._vacate(job.context)

    def _count_end(self, context: RequestContext, reason: RejectReason) -> None:
        """Count a request that is about to be cancelled, but not for each of its jobs."""
        if not context.is_cancelled:
            self._telemetry.rejected(reason)
