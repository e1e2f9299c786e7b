"""Load generators in several processes, for services that answer more requests than one process can send."""

import asyncio
import itertools
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType

from benchmarks.clients import Outcome, closed, open_
from benchmarks.pictures import Ask


class ClientProcesses:
    """Processes that send requests, with one result for all of them.

    Args:
        most: number of processes; by default a quarter of the cores, because the service needs the others.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most or max(1, len(os.sched_getaffinity(0)) // 4)
        # Spawned, not forked: a fork would share the CUDA context of this process.
        self._pool = ProcessPoolExecutor(self.most, multiprocessing.get_context("spawn"))

    def __enter__(self) -> "ClientProcesses":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def closed(self, url: str, asks: Sequence[Ask], clients: int, seconds: float) -> Outcome:
        """Run a closed loop, see `benchmarks.clients.closed`. The clients are divided among the processes.

        Args:
            url: address of the service.
            asks: the requests, in a cycle.
            clients: number of clients.
            seconds: duration in seconds.

        Returns:
            The results of all processes together.
        """
        shares = [len(range(first, clients, self.most)) for first in range(min(self.most, clients))]
        return self._run(_closed, [(url, asks, share, seconds) for share in shares])

    def open_(self, url: str, asks: Sequence[Ask], rate: float, seconds: float) -> Outcome:
        """Run an open loop, see `benchmarks.clients.open_`. Each process sends an equal share of the rate.

        Args:
            url: address of the service.
            asks: the requests, in a cycle.
            rate: mean number of requests per second.
            seconds: duration in seconds.

        Returns:
            The results of all processes together.
        """
        return self._run(_open, [(url, asks, rate / self.most, seconds, seed) for seed in range(self.most)])

    def _run(self, work: Callable[..., Outcome], shares: list[tuple[object, ...]]) -> Outcome:
        total = Outcome()
        for part in self._pool.map(work, *zip(*shares, strict=True)):
            total.merge(part)
        return total


def _closed(url: str, asks: Sequence[Ask], clients: int, seconds: float) -> Outcome:
    return asyncio.run(closed(url, itertools.cycle(asks), clients, seconds=seconds))


def _open(url: str, asks: Sequence[Ask], rate: float, seconds: float, seed: int) -> Outcome:
    return asyncio.run(open_(url, itertools.cycle(asks), rate, seconds, seed))
