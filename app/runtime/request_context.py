"""The context of one request: its deadline, and whether it was cancelled.

All threads that work for a request share its context. A batch request has one context and one `Timing` per
picture (`app/runtime/timing.py`).
"""

import time

from app.errors import DeadlineExceeded, FacetError
from app.runtime.telemetry import NULL_TELEMETRY, Telemetry


class RequestContext:
    """Deadline and cancellation of one request.

    `deadline` is a value of `time.monotonic()`, or None for no limit. It is set when the request's body is
    complete, so that a slow upload does not consume the time for processing.
    """

    def __init__(self, telemetry: Telemetry = NULL_TELEMETRY, deadline: float | None = None) -> None:
        self.telemetry = telemetry
        self.deadline = deadline
        self._cancelled: FacetError | None = None

    def check(self) -> None:
        """Return if the work is still wanted.

        Raises:
            DeadlineExceeded: the deadline has passed.
            FacetError: the error that `cancel` was given.
        """
        if self._cancelled is not None:
            raise self._cancelled
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise deadline_exceeded()

    def cancel(self, error: FacetError) -> None:
        """Make every later `check` raise this error. The first cancellation wins."""
        self._cancelled = self._cancelled or error


def deadline_exceeded() -> DeadlineExceeded:
    """Return the error for work that was not finished before its deadline."""
    return DeadlineExceeded(
        "The request was not finished within its time limit and was dropped; try again later."
    )
