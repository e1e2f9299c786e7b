"""Retries after a 503, by the header `Retry-After`."""

from __future__ import annotations

import time

from facet_client.calls import Retry
from facet_client.errors import ProblemError

_REFUSED = frozenset(("not-ready", "overloaded"))
"""Problems of requests that the service refused before it did anything.

`overloaded` may also mean that there is no memory for a large response. Of the operations that change
something, only `purge` has one, and it is not retried.
"""

_HOPELESS = frozenset(("deadline-exceeded", "gallery-unavailable"))
"""Problems that the same request is likely to have again."""

_SHORTEST_WAIT_S = 1.0


class RetryTimer:
    """Says whether and when a call is sent again.

    Args:
        limit_s: seconds after the first attempt in which further attempts may begin.
    """

    def __init__(self, limit_s: float) -> None:
        self._end = time.monotonic() + limit_s

    def wait_s(self, retry: Retry, error: ProblemError) -> float | None:
        """Return the seconds to wait before the next attempt; None if there is none.

        Args:
            retry: in which cases the call is sent again.
            error: the problem of the last attempt.
        """
        if not _is_safe(retry, error):
            return None
        wait = max(_SHORTEST_WAIT_S, error.retry_after_s or 0)
        return wait if time.monotonic() + wait <= self._end else None


def _is_safe(retry: Retry, error: ProblemError) -> bool:
    if error.status != 503 or retry is Retry.NEVER:
        return False
    return error.slug in _REFUSED or (retry is Retry.ALWAYS and error.slug not in _HOPELESS)
