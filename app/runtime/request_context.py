"""The context of a request: its deadline, and whether it was cancelled.

All threads that work for a request share its context. A batch request has one context, and one `Timing` per
image (`app/runtime/timing.py`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import DeadlineExceeded, FacetError
from app.runtime.telemetry import NULL_TELEMETRY, Telemetry


class RequestContext:
    """Deadline and cancellation of one request.

    Attributes:
        telemetry: receives the events of the request.
        deadline: time at which the request is dropped, as a value of `time.monotonic()`; None for no limit.
            It is set when the body is complete, so that a slow upload does not reduce the processing time.
    """

    def __init__(self, telemetry: Telemetry = NULL_TELEMETRY, deadline: float | None = None) -> None:
        self.telemetry = telemetry
        self.deadline = deadline
        self._cancelled: FacetError | None = None
        self._on_cancel: set[Callable[[], object]] = set()

    def check(self) -> None:
        """Check that the request is not over.

        Raises:
            DeadlineExceeded: the deadline has passed.
            FacetError: the error that was passed to `cancel`.
        """
        error = self._cancelled
        if error is None and self.deadline is not None and time.monotonic() >= self.deadline:
            error = deadline_exceeded()
        if error is not None:
            raise error

    def cancel(self, error: FacetError) -> bool:
        """Make every later `check` raise this error. Only the first cancellation has an effect.

        Returns:
            Whether it is the first cancellation.
        """
        first = self._cancelled is None
        self._cancelled = self._cancelled or error
        for callback in list(self._on_cancel):
            callback()
        return first

    @contextmanager
    def on_cancel(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call a function if the request is cancelled within a `with` block, or already was.

        Args:
            callback: ends what the block waits for. It may be called twice, and from any thread.

        Yields:
            None.
        """
        self._on_cancel.add(callback)
        try:
            if self._cancelled is not None:
                callback()
            yield
        finally:
            self._on_cancel.discard(callback)


def deadline_exceeded() -> DeadlineExceeded:
    """Return the error for a request that was not finished before its deadline."""
    return DeadlineExceeded(
        "The request was not finished within its time limit and was dropped. Try again later."
    )
