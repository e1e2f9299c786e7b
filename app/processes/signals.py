"""Signals: a queue that a loop can wait for, what SIGHUP means, and SIGHUP during the start."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_STANDARD_STREAMS = (0, 1, 2)

_kept: list[int] = []


def keep_hang_ups() -> None:
    """Keep SIGHUP for `deliver_hang_ups`. Without this it would end a service that starts.

    If the terminal of the process is closed, SIGHUP ends it nevertheless. Only the main thread can do this.
    """
    terminal = Terminal()

    def keep(number: int, frame: FrameType | None) -> None:
        if terminal.is_closed():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        _kept.append(number)

    signal.signal(signal.SIGHUP, keep)


def deliver_hang_ups() -> None:
    """Raise SIGHUP if one was kept. The process has its own handler now."""
    if _kept:
        _kept.clear()
        signal.raise_signal(signal.SIGHUP)


class SignalQueue:
    """Collects SIGTERM, SIGINT and SIGHUP instead of handling them at once.

    Attributes:
        descriptor: a file descriptor that is readable when a signal has arrived.
    """

    def __init__(self) -> None:
        self._arrived: list[int] = []
        self.descriptor = -1

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Collect signals while the context is open, and a SIGHUP that was kept.

        Only the main thread can do this.
        """
        self.descriptor, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        handlers = [signal.signal(number, self._handle) for number in numbers]
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        deliver_hang_ups()
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in zip(numbers, handlers, strict=True):
                signal.signal(number, handler)
            os.close(self.descriptor)
            os.close(writer)

    def take(self) -> list[int]:
        """Return the signals that have arrived since the last call, oldest first."""
        with suppress(BlockingIOError):
            os.read(self.descriptor, 4096)
        arrived, self._arrived = self._arrived, []
        return arrived

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._arrived.append(number)


class Terminal:
    """The terminal of the process, if it had one when this object was made.

    The kernel sends SIGHUP when a terminal is closed, and operators send it to reload something. Only in the
    first case the process has lost its terminal.
    """

    def __init__(self) -> None:
        self._streams = [stream for stream in _STANDARD_STREAMS if os.isatty(stream)]

    def is_closed(self) -> bool:
        """Return whether the process had a terminal and has lost it."""
        return any(not os.isatty(stream) for stream in self._streams)
