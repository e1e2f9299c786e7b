"""A timer that can be started and stopped any number of times."""

import asyncio
from collections.abc import Callable


class Timer:
    """Calls a function after a time, unless it is stopped before.

    Args:
        loop: the event loop.
        then: the function.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> None:
        self._loop = loop
        self._then = then
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Start the timer. A timer that runs keeps its time."""
        if self._handle is None:
            self._handle = self._loop.call_later(seconds, self._end)

    def stop(self) -> None:
        """Stop the timer. It may be started again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _end(self) -> None:
        self._handle = None
        self._then()
