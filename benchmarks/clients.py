"""Clients: a number of them that each wait for an answer before they ask again, or arrivals at a rate."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

import httpx
import numpy as np

from benchmarks.pictures import Ask

_PATIENCE = 120.0


@dataclass
class Outcome:
    """What became of requests: when each was due (seconds from the start), how long it took, its status.

    Status 0 is an answer that never came. `lag` is how late the clients themselves sent it.
    """

    seconds: float = 0.0
    due: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, due: float, took: float, status: int, lag: float = 0.0) -> None:
        self.due.append(due)
        self.took.append(took)
        self.status.append(status)
        self.lag.append(lag)

    @property
    def statuses(self) -> dict[int, int]:
        return dict(sorted(Counter(self.status).items()))

    @property
    def rate(self) -> float:
        """Answers with 200 a second."""
        return self.status.count(200) / self.seconds

    def milliseconds(self, *percentiles: float, status: int = 200, sent: bool = False) -> list[float]:
        """Percentiles of the time to an answer of that status, since it was due or `sent`; of none, nan."""
        rows = zip(self.took, self.lag, self.status, strict=True)
        took = [t - lag if sent else t for t, lag, s in rows if s == status]
        if not took:
            return [float("nan")] * len(percentiles)
        return [float(value) * 1e3 for value in np.percentile(took, percentiles)]


async def closed(
    url: str, asks: Iterator[Ask], clients: int, *, seconds: float = 1e9, most: int = 1 << 60
) -> Outcome:
    """So many clients, one request after the other each, for so long or so many requests."""
    outcome, left = Outcome(), most
    async with client(url) as http:
        start = perf_counter()

        async def run() -> None:
            nonlocal left
            while left > 0 and perf_counter() - start < seconds:
                left -= 1
                ask = next(asks)
                begun = perf_counter()
                status = await send(http, ask)
                outcome.add(begun - start, perf_counter() - begun, status)
                if status != ask.status:
                    outcome.wrong[f"{ask.path}: {status} in place of {ask.status}"] += 1

        await asyncio.gather(*(run() for _ in range(clients)))
        outcome.seconds = perf_counter() - start
    return outcome


async def open_(url: str, asks: Iterator[Ask], rate: float, seconds: float, seed: int = 0) -> Outcome:
    """Requests that come at random at that rate, whatever becomes of those before; timed from when due."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds * 1.5) + 10)
    arrivals = [due for due in np.cumsum(gaps) if due < seconds]
    outcome, place = Outcome(), httpx.URL(url)
    async with asyncio.TaskGroup() as group:
        start = perf_counter()

        async def one(due: float, ask: Ask) -> None:
            lag = perf_counter() - start - due
            status = await send_alone(place.host, place.port or 80, ask)
            outcome.add(due, perf_counter() - start - due, status, lag)

        for due in arrivals:
            await asyncio.sleep(max(0.0, start + due - perf_counter()))
            group.create_task(one(due, next(asks)))
    outcome.seconds = perf_counter() - start
    return outcome


def client(url: str) -> httpx.AsyncClient:
    """A client without a bound on connections of its own."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx.AsyncClient(base_url=url, timeout=_PATIENCE, limits=limits)


async def send(http: httpx.AsyncClient, ask: Ask) -> int:
    """The answer's status; 0 where none came."""
    try:
        if "/batch" in ask.path:
            answer = await http.post(ask.path, files=[("image", image) for image in ask.images])
        else:
            headers = {"content-type": "image/jpeg"}
            answer = await http.post(ask.path, content=ask.images[0], headers=headers)
    except httpx.TransportError:
        return 0
    return answer.status_code


async def send_alone(host: str, port: int, ask: Ask) -> int:
    """The answer's status over a connection of its own, 0 where none came; for one picture.

    Without a library of HTTP, whose work for each request would take the service's cores.
    """
    head = f"POST {ask.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/jpeg\r\nConnection: close\r\n"
    message = f"{head}Content-Length: {len(ask.images[0])}\r\n\r\n".encode() + ask.images[0]
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(message)
                status = int((await reader.readline()).split()[1])
                await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError, IndexError):
        return 0
    return status
