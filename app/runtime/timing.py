"""Time per stage of one image, without the time in queues, which is measured separately."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from app.errors import FacetError
from app.runtime import spans
from app.runtime.request_context import RequestContext

QUEUE, TOTAL = "queue", "total"

_CURRENT: ContextVar["Timing | None"] = ContextVar("timing", default=None)


class Postponed(FacetError):
    """A job turned out to be large while all threads for large jobs are busy. It is no error of the job."""


class Timing:
    """Milliseconds per stage of one image.

    The time of a stage does not include waiting for the device. The time of waiting for a worker thread and
    for the device is added up as `queue`.

    Args:
        context: the context of the request, if there is one. A stage does not start if the request is over.
        start: start of the wait for a worker thread, as a value of `time.perf_counter()`; now if None.
        on_expected: receives the milliseconds of `expect`.

    Attributes:
        ms: milliseconds by stage, in the order in which the stages first ran.
    """

    def __init__(
        self,
        context: RequestContext | None = None,
        start: float | None = None,
        on_expected: Callable[[float], None] | None = None,
    ) -> None:
        self._context = context
        self._start = time.perf_counter() if start is None else start
        self._on_expected = on_expected
        self.ms: dict[str, float] = {}

    def begin_job(self) -> None:
        """Record the wait for a worker thread, and make this the timing of the current thread."""
        self.add_wait(time.perf_counter() - self._start)
        _CURRENT.set(self)

    def end_job(self) -> None:
        """Remove the timing of the current thread."""
        _CURRENT.set(None)

    @property
    def context(self) -> RequestContext | None:
        """The context of the request; None if there is none."""
        return self._context

    def check(self) -> None:
        """Check that the request is not over; see `RequestContext.check` for the errors."""
        if self._context is not None:
            self._context.check()

    def expect(self, milliseconds: float) -> None:
        """Record that the image is going to take this time, as soon as it is known.

        A job that turns out to be large may end here and start again later. The caller therefore passes all
        exceptions on.

        Args:
            milliseconds: the expected time of one core, in addition to what was recorded before.

        Raises:
            Postponed: the job ends here and starts again later.
        """
        if self._on_expected is not None:
            self._on_expected(milliseconds)

    def add_wait(self, seconds: float) -> None:
        """Add time in seconds that was spent waiting for a thread or for the device."""
        self._add(QUEUE, seconds)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the time of a `with` block, without its waiting time, and add it to a stage.

        The block is also a span of the trace, whose duration includes the waiting time.

        Args:
            name: the stage.

        Raises:
            FacetError: the request is over, see `RequestContext.check`.
        """
        self.check()
        start, waited_before = time.perf_counter(), self.ms.get(QUEUE, 0.0)
        with spans.span(name) as span:
            try:
                yield
            finally:
                waited_ms = self.ms.get(QUEUE, 0.0) - waited_before
                self._add(name, time.perf_counter() - start - waited_ms / 1e3)
                if span is not None:
                    span.attributes["facet.queue_ms"] = round(waited_ms, 3)

    def split(self, stage: str, parts: Mapping[str, float]) -> None:
        """Move parts of the time of a stage, which were measured elsewhere, to stages of their own.

        Args:
            stage: the stage, which has ended.
            parts: milliseconds by stage.
        """
        self.ms[stage] = max(0.0, self.ms[stage] - sum(parts.values()))
        for name, ms in parts.items():
            self.ms[name] = self.ms.get(name, 0.0) + ms

    def finish(self, faces: int) -> dict[str, float]:
        """Return the milliseconds per stage and in `total`, and report them to the telemetry.

        Args:
            faces: number of faces in the response.
        """
        self.ms[TOTAL] = (time.perf_counter() - self._start) * 1e3
        if self._context is not None:
            self._context.telemetry.faces(faces)
            for name, ms in self.ms.items():
                self._context.telemetry.stage(name, ms / 1e3)
        return self.ms

    def _add(self, name: str, seconds: float) -> None:
        self.ms[name] = self.ms.get(name, 0.0) + seconds * 1e3


def check_request() -> None:
    """Check that the request of the current thread is not over; see `RequestContext.check` for the errors."""
    if (timing := current_timing()) is not None:
        timing.check()


def begin_change() -> None:
    """Note that the request of the current thread begins a change; see `RequestContext.begin_change`."""
    if (timing := current_timing()) is not None and timing.context is not None:
        timing.context.begin_change()


@contextmanager
def apart_from_request() -> Iterator[None]:
    """Let the current thread change something within a `with` block as if it worked for no request.

    Yields:
        None.
    """
    token = _CURRENT.set(None)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_timing() -> Timing | None:
    """Return the timing of the job that runs in the current thread; None outside of a job."""
    return _CURRENT.get()
