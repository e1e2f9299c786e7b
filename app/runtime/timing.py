"""Time per stage for one picture, with the time spent in queues kept apart."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from app.runtime.request_context import RequestContext

QUEUE, TOTAL = "queue", "total"

_CURRENT: ContextVar["Timing | None"] = ContextVar("timing", default=None)


class Timing:
    """Milliseconds per stage of one picture, in the order in which the stages first ran.

    With a request context, `queue` holds the time spent waiting for a worker thread and for the device,
    stages do not include it, and a stage does not start once the request is over.
    """

    def __init__(self, context: RequestContext | None = None) -> None:
        self._context = context
        self._start = time.perf_counter()
        self.ms: dict[str, float] = {}

    def begin_job(self) -> None:
        """Record the wait for a worker thread, and make this the current timing of the thread."""
        self.add_wait(time.perf_counter() - self._start)
        _CURRENT.set(self)

    def end_job(self) -> None:
        """Leave the thread without a current timing."""
        _CURRENT.set(None)

    def check(self) -> None:
        """Raise the error of the request's context if the request is over."""
        if self._context is not None:
            self._context.check()

    def add_wait(self, seconds: float) -> None:
        """Add time spent waiting for a thread or for the device."""
        self._add(QUEUE, seconds)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage, less the time it spent waiting.

        Raises:
            FacetError: the request is over, see `RequestContext.check`.
        """
        self.check()
        start, waited_before = time.perf_counter(), self.ms.get(QUEUE, 0.0)
        try:
            yield
        finally:
            waited = (self.ms.get(QUEUE, 0.0) - waited_before) / 1e3
            self._add(name, time.perf_counter() - start - waited)

    def finish(self, faces: int) -> dict[str, float]:
        """Return milliseconds per stage and in `total`, and report them with the number of faces."""
        self.ms[TOTAL] = (time.perf_counter() - self._start) * 1e3
        if self._context is not None:
            self._context.telemetry.faces(faces)
            for name, ms in self.ms.items():
                self._context.telemetry.stage(name, ms / 1e3)
        return self.ms

    def _add(self, name: str, seconds: float) -> None:
        self.ms[name] = self.ms.get(name, 0.0) + seconds * 1e3


def current_timing() -> Timing | None:
    """Return the timing of the job that runs in this thread, None outside of a job."""
    return _CURRENT.get()
