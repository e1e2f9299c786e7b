"""Load generators: a closed loop with a fixed number of clients, and an open loop with a fixed rate."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from benchmarks.connections import Connections
from benchmarks.pictures import Ask


@dataclass
class Outcome:
    """The results of many requests. Status 0 means that no response arrived.

    Attributes:
        seconds: duration of the run.
        due: for each request the time at which it was due, in seconds from the start.
        took: for each request the seconds from the time at which it was due to its response.
        status: for each request the HTTP status.
        lag: for each request the delay of the client, in seconds from the due time to sending.
        wrong: number of responses with an unexpected status, by a description of the error.
    """

    seconds: float = 0.0
    due: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, due: float, took: float, status: int, lag: float = 0.0) -> None:
        """Add the result of one request; see the attributes."""
        self.due.append(due)
        self.took.append(took)
        self.status.append(status)
        self.lag.append(lag)

    def merge(self, other: "Outcome") -> None:
        """Add the results of another run at the same time. The longer duration counts."""
        self.seconds = max(self.seconds, other.seconds)
        self.due += other.due
        self.took += other.took
        self.status += other.status
        self.lag += other.lag
        self.wrong += other.wrong

    @property
    def statuses(self) -> dict[int, int]:
        """The number of responses by status."""
        return dict(sorted(Counter(self.status).items()))

    @property
    def rate(self) -> float:
        """Responses with status 200 per second."""
        return self.status.count(200) / self.seconds

    def milliseconds(self, *percentiles: float, status: int = 200, sent: bool = False) -> list[float]:
        """Return percentiles of the response time in milliseconds; nan if there is no such response.

        Args:
            percentiles: the percentiles, 0 to 100.
            status: only responses with this status count.
            sent: measure from the time at which a request was sent, instead of the time at which it was due.
        """
        rows = zip(self.took, self.lag, self.status, strict=True)
        took = [t - lag if sent else t for t, lag, s in rows if s == status]
        if not took:
            return [float("nan")] * len(percentiles)
        return [float(value) * 1e3 for value in np.percentile(took, percentiles)]


async def closed(
    url: str, asks: Iterator[Ask], clients: int, *, seconds: float = 1e9, most: int = 1 << 60
) -> Outcome:
    """Run a closed loop: each client sends its next request after the response to the last one.

    Args:
        url: address of the service.
        asks: the requests.
        clients: number of clients.
        seconds: duration in seconds.
        most: maximum number of requests.

    Returns:
        The results.
    """
    outcome, left = Outcome(), most
    async with Connections(url) as connections:
        start = perf_counter()

        async def run() -> None:
            nonlocal left
            while left > 0 and perf_counter() - start < seconds:
                left -= 1
                ask = next(asks)
                begun = perf_counter()
                status = await connections.send(ask)
                outcome.add(begun - start, perf_counter() - begun, status)
                if status != ask.status:
                    outcome.wrong[f"{ask.path}: {status} instead of {ask.status}"] += 1

        await asyncio.gather(*(run() for _ in range(clients)))
        outcome.seconds = perf_counter() - start
    return outcome


async def open_(url: str, asks: Iterator[Ask], rate: float, seconds: float, seed: int = 0) -> Outcome:
    """Run an open loop: requests arrive as a Poisson process, independent of earlier responses.

    Args:
        url: address of the service.
        asks: the requests.
        rate: mean number of requests per second.
        seconds: duration in seconds.
        seed: seed of the arrival times.

    Returns:
        The results.
    """
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds * 1.5) + 10)
    arrivals = [due for due in np.cumsum(gaps) if due < seconds]
    outcome = Outcome()
    async with Connections(url) as connections, asyncio.TaskGroup() as group:
        start = perf_counter()

        async def one(due: float, ask: Ask) -> None:
            lag = perf_counter() - start - due
            status = await connections.send(ask)
            outcome.add(due, perf_counter() - start - due, status, lag)

        for due in arrivals:
            await asyncio.sleep(max(0.0, start + due - perf_counter()))
            group.create_task(one(due, next(asks)))
    outcome.seconds = perf_counter() - start
    return outcome
