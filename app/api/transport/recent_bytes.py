"""How much a client has sent or read lately: the measure by which clients that make no progress are found."""

import math

START = 64 << 10
"""Bytes that a new client is credited with, so that it has time to send its first ones."""

_DECAY_S = 1.0


class RecentBytes:
    """The bytes that a client has sent or read lately. Older bytes count less: a factor e less per second.

    A client with a steady rate of r bytes per second approaches r bytes.

    Args:
        now: the time of the event loop.
    """

    def __init__(self, now: float) -> None:
        self._count = float(START)
        self._time = now

    def add(self, count: int, now: float) -> None:
        """Add bytes that were sent or read now."""
        self._count = self.count(now) + count
        self._time = now

    def count(self, now: float) -> float:
        """Return the bytes of the last moments."""
        return self._count * math.exp((self._time - now) / _DECAY_S)
