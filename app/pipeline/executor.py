"""Admission: a bounded number of worker threads, and a bounded number of requests that wait for one.

Everything slow (decoding, nets, drawing) runs in these threads, so that the event loop never blocks.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from app.errors import Overloaded

T = TypeVar("T")


class Executor:
    """`workers` threads and room for `queue` more jobs; what comes on top is turned away at once."""

    def __init__(self, workers: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="facet")
        self._most = workers + queue
        self._admitted = 0
        self._lock = threading.Lock()

    @property
    def admitted(self) -> int:
        """Jobs that run or wait."""
        return self._admitted

    def ensure_room(self) -> None:
        """Raises Overloaded when a job would be turned away now."""
        if self._admitted >= self._most:
            raise Overloaded(
                f"All {self._most} places for requests at work or waiting are taken; try again in a moment."
            )

    async def run(self, job: Callable[[], T]) -> T:
        """What the job returns or raises, from a worker thread. Raises Overloaded when the queue is full.

        A job whose caller has gone (cancelled) keeps its place until it has really ended.
        """
        with self._lock:
            self.ensure_room()
            self._admitted += 1
        try:
            future = self._pool.submit(job)
        except BaseException:
            self._leave(None)
            raise
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Ends the threads once their jobs are done; jobs that have not begun are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self, _: Future[T] | None) -> None:
        with self._lock:
            self._admitted -= 1
