"""Worker threads that run small and large jobs side by side.

A job is large if it is expected to take long. Large jobs hold at most half of the threads, so that small jobs
do not wait for them; and as soon as a large job may have a thread, it comes before the small ones. Neither
kind can starve the other.

A job starts as a small one, because its cost is in its image: the header of the image tells the pixels, the
detector tells the faces. A job that turns out to be large goes on if a thread for large jobs is free.
Otherwise it ends, waits in the queue of the large jobs, and starts again.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

from app.errors import Abandoned, NotReady, OutOfMemory, is_out_of_memory
from app.runtime import spans
from app.runtime.request_context import RequestContext
from app.runtime.telemetry import NULL_TELEMETRY, Telemetry
from app.runtime.timing import QUEUE, Postponed, Timing

LARGE_MS = 100.0
"""Expected milliseconds from which a job is large."""

_MEAN_WEIGHT = 0.2
"""Weight of the last job in the mean duration of jobs (an exponentially weighted mean)."""


class Job:
    """A job of a request, from its submission to its end. It is made in the event loop.

    Args:
        context: the context of the request.
        work: the work.
        large: whether the job is known to be large.

    Attributes:
        large: whether the job is known to be large.
        expected_ms: what the job is known to take, in milliseconds.
        submitted: time of the submission, as a value of `time.perf_counter()`.
        queued: time at which the job last came into a queue.
        started: time of the last start.
        variables: the context variables of the request, such as its id, which log lines of the job have.
    """

    def __init__(self, context: RequestContext, work: Callable[[], Any], large: bool = False) -> None:
        self.context = context
        self.work = work
        self.large = large
        self.expected_ms = 0.0
        self.submitted = self.queued = self.started = time.perf_counter()
        self.variables = copy_context()
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[Any] | None = self._loop.create_future()

    @property
    def done(self) -> "asyncio.Future[Any]":
        """The future that receives the result or the error, until `finish` is called."""
        assert self._done is not None
        return self._done

    def finish(self, result: object = None, error: BaseException | None = None) -> None:
        """Pass on the result or the error, from any thread, if the caller still waits for it."""
        # The traceback of the error leads to the job. Without a way back, the image is freed at once.
        done, self._done = self.done, None

        def pass_on() -> None:
            if error is not None and not done.done():
                done.set_exception(error)
            elif not done.done():
                done.set_result(result)

        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(pass_on)


class WorkerThreads:
    """Threads that run jobs, with a queue of small and a queue of large jobs. The queues have no limit.

    Args:
        count: number of threads. With one thread no job is treated as large.
        on_large: is called in the thread of a job that turns out to be large. Its errors end the job.
        on_end: is called when a job has ended, before its result is passed on.
        telemetry: receives the numbers of waiting and running jobs.

    Attributes:
        for_large: number of threads that large jobs may hold.
    """

    def __init__(
        self,
        count: int,
        on_large: Callable[[Job], None],
        on_end: Callable[[Job], None],
        telemetry: Telemetry = NULL_TELEMETRY,
    ) -> None:
        self.for_large = count // 2
        self._on_large = on_large
        self._on_end = on_end
        self._telemetry = telemetry
        self._waiting: dict[bool, deque[Job]] = {False: deque(), True: deque()}  # by `Job.large`
        self._running: set[Job] = set()
        self._mean_s = {False: 0.0, True: 0.0}
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._serve, name=f"facet_{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:  # now, so that later no job can fail because no thread can be started
            thread.start()

    def submit(self, job: Job) -> "asyncio.Future[Any]":
        """Put a job into the queue.

        Returns:
            The future that receives the result of the job: NotReady, if the threads have ended.
        """
        done = job.done
        with self._changed:
            if not self._closed:
                job.large = job.large and self.for_large > 0
                self._waiting[job.large].append(job)
                self._report()
                self._changed.notify()
                return done
        self._on_end(job)
        job.finish(error=NotReady("The service has stopped and accepts no new requests."))
        return done

    def drop(self, job: Job) -> None:
        """End a job that still waits. A running job is not affected."""
        with self._changed:
            waiting = self._waiting[job.large]
            if job not in waiting:
                return
            waiting.remove(job)
            self._report()
        self._on_end(job)

    def close(self) -> None:
        """End the threads: wait for running jobs, and drop waiting ones."""
        with self._changed:
            self._closed = True
            waiting = [*self._waiting[False], *self._waiting[True]]
            self._changed.notify_all()
        for job in waiting:
            self.drop(job)
            job.finish(error=Abandoned("The service stopped before the request was finished."))
        for thread in self._threads:
            thread.join()

    def wait_s(self) -> float:
        """Return the expected seconds until all waiting jobs have started."""
        with self._changed:
            now, waits = time.perf_counter(), []
            for large, threads in ((False, len(self._threads) - self.for_large), (True, self.for_large)):
                # A running job that is older than the mean tells more than the mean.
                ages = [now - job.started for job in self._running if job.large == large]
                each = max(self._mean_s[large], *ages, 0.0)
                waits.append(len(self._waiting[large]) * each / max(threads, 1))
            return max(waits)

    def _serve(self) -> None:
        """Run jobs until the threads are closed."""
        while True:
            with self._changed:
                while (job := self._next()) is None:
                    if self._closed:
                        return
                    self._changed.wait()
                job.started = time.perf_counter()
                self._running.add(job)
                self._report()
            if job.variables.run(self._run, job):
                self._postpone(job)
            del job  # it has the image

    def _next(self) -> Job | None:
        """Remove the next job that may run now from its queue.

        Returns:
            The job; None if there is none.
        """
        if self._waiting[True] and self._running_large() < self.for_large:
            return self._waiting[True].popleft()
        return self._waiting[False].popleft() if self._waiting[False] else None

    def _run(self, job: Job) -> bool:
        """Run a job.

        Returns:
            Whether it is to be queued as a large job. The caller does this, because another thread that takes
            it cannot enter its context variables before this thread has left them.
        """
        timing = Timing(job.context, job.submitted, partial(self._expect, job))
        timing.begin_job()
        spans.past_span(QUEUE, job.queued)
        try:
            timing.check()
            result = job.work()
        except Postponed:
            return True
        except BaseException as error:
            self._end(job)
            job.finish(error=_without_libraries(error))
        else:
            self._end(job)
            job.finish(result)
        finally:
            timing.end_job()
        return False

    def _expect(self, job: Job, milliseconds: float) -> None:
        """Record what a running job is going to take, and treat it as large if it takes long.

        Raises:
            Postponed: the job is large, and no thread for large jobs is free.
        """
        job.expected_ms += milliseconds
        if job.large or job.expected_ms < LARGE_MS or not self.for_large:
            return
        self._on_large(job)
        with self._changed:
            thread_free = self._running_large() < self.for_large and not self._waiting[True]
            job.large = True
            if not thread_free:
                raise Postponed("The image is large.")

    def _postpone(self, job: Job) -> None:
        done = job.done
        with self._changed:
            self._running.remove(job)
            job.queued = time.perf_counter()
            self._waiting[True].append(job)
            self._report()
            self._changed.notify()
        if done.cancelled():  # while it ran
            self.drop(job)

    def _end(self, job: Job) -> None:
        took = time.perf_counter() - job.started
        with self._changed:
            mean = self._mean_s[job.large]
            self._mean_s[job.large] = mean + _MEAN_WEIGHT * (took - mean) if mean else took
            self._running.remove(job)
            self._report()
            self._changed.notify()
        self._on_end(job)

    def _running_large(self) -> int:
        return sum(job.large for job in self._running)

    def _report(self) -> None:
        self._telemetry.queue_depth(sum(map(len, self._waiting.values())), len(self._running))


def _without_libraries(error: BaseException) -> BaseException:
    """Return OutOfMemory for an error of a library that means insufficient memory, or else the error."""
    if is_out_of_memory(error) and not isinstance(error, OutOfMemory):
        return OutOfMemory("There is not enough memory for this image. Try again in a moment.")
    return error
