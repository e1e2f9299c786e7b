"""The context of a request: its deadline, and whether it was cancelled.

All threads that work for a request share its context. A batch request has one context, and one `Timing` per
image (`app/runtime/timing.py`).
"""

import threading
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
        self._may_have_changed = False
        self._lock = threading.Lock()
        self._on_cancel: set[Callable[[], object]] = set()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` or `expire` was called."""
        return self._cancelled is not None

    def check(self) -> None:
        """Check that the request is not over.

        Raises:
            DeadlineExceeded: the deadline has passed.
            FacetError: the error that was passed to `cancel`.
        """
        error = self._cancelled
        if error is None and self.deadline is not None and time.monotonic() >= self.deadline:
            error = deadline_exceeded(self._may_have_changed)
        if error is not None:
            raise error

    def begin_change(self) -> None:
        """Check that the request is not over, and note that from now on something may be changed for it.

        So a request that was reported as dropped changes nothing afterwards.

        Raises:
            FacetError: see `check`.
        """
        with self._lock:
            self.check()
            self._may_have_changed = True

    def cancel(self, error: FacetError) -> None:
        """Make every later `check` raise this error. Only the first cancellation has an effect."""
        with self._lock:
            self._cancelled = self._cancelled or error
        for callback in list(self._on_cancel):
            callback()

    def expire(self) -> DeadlineExceeded:
        """Cancel the request because its deadline has passed.

        Returns:
            The error, which says whether something may have been changed.
        """
        self.cancel(deadline_exceeded())  # from now on no change begins
        return deadline_exceeded(self._may_have_changed)

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


def deadline_exceeded(may_have_changed: bool = False) -> DeadlineExceeded:
    """Return the error for a request that was not finished before its deadline.

    Args:
        may_have_changed: whether the request may have changed something.
    """
    if may_have_changed:
        return DeadlineExceeded(
            "The request was not finished within its time limit, and its change may have been made. Ask for "
            "the state before you send it again."
        )
    return DeadlineExceeded(
        "The request was not finished within its time limit and was dropped. Try again later."
    )
