"""What a piece of work carries with it through the threads: whether it is still wanted, and its waits.

The worker that begins a piece of work sets `CURRENT`; without one (a command line, a test) nothing is
dropped and no wait is counted.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol


class Listener(Protocol):
    """Told what became of a piece of work. Never raises."""

    def stage(self, name: str, seconds: float) -> None: ...

    def faces(self, count: int) -> None: ...


class Ticket:
    """A piece of work's ticket. `check` raises where the work is not wanted any more.

    `begun` is when it was handed in (`time.perf_counter`), `waited` the seconds it has spent in queues.
    """

    def __init__(self, check: Callable[[], None], listener: Listener) -> None:
        self.check = check
        self.listener = listener
        self.begun = time.perf_counter()
        self.waited = 0.0


CURRENT: ContextVar[Ticket | None] = ContextVar("ticket", default=None)
