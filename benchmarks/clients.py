"""Load generators: a closed loop with a fixed number of clients, and an open loop with a fixed rate."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

import httpx
import numpy as np

from benchmarks.pictures import Ask

_TIMEOUT_S = 120.0


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
                    outcome.wrong[f"{ask.path}: {status} instead of {ask.status}"] += 1

        await asyncio.gather(*(run() for _ in range(clients)))
        outcome.seconds = perf_counter() - start
    return outcome


async def open_(url: str, asks: Iterator[Ask], rate: float, seconds: float, seed: int = 0) -> Outcome:
    """Run an open loop: requests arrive as a Poisson process, independent of earlier responses.

    Args:
        url: address of the service.
        asks: the requests; only the first image of each is sent.
        rate: mean number of requests per second.
        seconds: duration in seconds.
        seed: seed of the arrival times.

    Returns:
        The results.
    """
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
    """Return an HTTP client for a service, without a limit on the number of connections."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, limits=limits)


async def send(http: httpx.AsyncClient, ask: Ask) -> int:
    """Return the status of the response to a request; 0 if no response arrives."""
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
    """Return the status of the response to a request with one image, sent over a new connection.

    No HTTP library is used, because it would take CPU time from the service.

    Returns:
        The status; 0 if no response arrives.
    """
    head = f"POST {ask.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/jpeg\r\nConnection: close\r\n"
    message = f"{head}Content-Length: {len(ask.images[0])}\r\n\r\n".encode() + ask.images[0]
    try:
        async with asyncio.timeout(_TIMEOUT_S):
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
