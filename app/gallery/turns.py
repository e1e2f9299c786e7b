"""The order of the changes of one process: one at a time, and no long queue behind one that takes long."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from app.gallery.rules import GalleryInUse

IN_USE = "Another change of the gallery takes a long time. Try again later."

_PATIENCE_S = 1.0
"""Seconds of a change, with its wait for other processes, after which no other one waits for it."""


class Turns:
    """Lets the threads of a process change the gallery one after another.

    Short changes wait for each other. While one takes long, the others are refused: each of them would keep
    a worker thread and a connection, which requests that change nothing need.
    """

    def __init__(self) -> None:
        self._ended = Condition()
        self._begun: float | None = None

    @contextmanager
    def turn(self, timeout_s: float) -> Iterator[None]:
        """Wait for the present change, and make another one in the context.

        Args:
            timeout_s: maximum seconds to wait for all earlier changes.

        Raises:
            GalleryInUse: a change takes too long.
        """
        end = time.monotonic() + timeout_s
        with self._ended:
            while self._begun is not None:
                left = min(end, self._begun + _PATIENCE_S) - time.monotonic()
                if left <= 0:
                    raise GalleryInUse(IN_USE)
                self._ended.wait(left)
            self._begun = time.monotonic()
        try:
            yield
        finally:
            with self._ended:
                self._begun = None
                self._ended.notify()
