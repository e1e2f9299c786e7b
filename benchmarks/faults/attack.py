"""Clients that attack a service, in a process of their own, and healthy clients beside them."""

import asyncio
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import numpy as np

from benchmarks.pictures import jpeg

Attack = Callable[[int, int], Awaitable[None]]
"""An attack of one client: it gets the port and the number of the client, and is repeated when it returns."""


@dataclass
class Health:
    """What healthy clients see.

    Attributes:
        statuses: the responses to POST /detect by status; 0 if the connection failed.
        detect_ms: times of the responses 200 of /detect in milliseconds.
        live_ms: times of the responses of /livez in milliseconds.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    detect_ms: list[float] = field(default_factory=list)
    live_ms: list[float] = field(default_factory=list)

    @property
    def detect(self) -> str:
        """The responses of /detect, in words."""
        median = np.median(self.detect_ms) if self.detect_ms else float("nan")
        return f"{dict(sorted(self.statuses.items()))}, p50 {median:.0f} ms"

    @property
    def live(self) -> str:
        """The times of /livez, in words."""
        if not self.live_ms:
            return "no answer"
        p50, p95 = np.percentile(self.live_ms, (50, 95))
        return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, max {max(self.live_ms):.0f} ms of {len(self.live_ms)}"


@contextmanager
def attacked(port: int, attack: Attack, clients: int, settle_s: float = 2.0) -> Iterator[None]:
    """Attack a service while the context is open.

    Args:
        port: port of the service.
        attack: the attack, a function of a module.
        clients: number of clients.
        settle_s: seconds from the start of the attack until the context opens.
    """
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(port, attack, clients))
    process.start()
    try:
        time.sleep(settle_s)
        yield
    finally:
        process.kill()
        process.join()


def observe(url: str, seconds: float, clients: int = 2, pause_s: float = 0.2) -> Health:
    """Return what healthy clients see. Each request uses a new connection.

    Args:
        url: address of the service.
        seconds: duration.
        clients: number of clients of /detect. One more asks /livez.
        pause_s: pause of a client between two requests.
    """
    health, image, end = Health(), jpeg(320, 240), time.perf_counter() + seconds

    def detect() -> None:
        while time.perf_counter() < end:
            status, took = _timed(lambda: client.post(f"{url}/detect", files={"image": image}))
            health.statuses[status] += 1
            if status == 200:
                health.detect_ms.append(took)
            time.sleep(pause_s)

    def live() -> None:
        while time.perf_counter() < end:
            status, took = _timed(lambda: client.get(f"{url}/livez"))
            if status == 200:
                health.live_ms.append(took)
            time.sleep(0.05)

    with httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        threads = [threading.Thread(target=target) for target in [live, *[detect] * clients]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return health


def head(*headers: str, path: str = "/detect", method: str = "POST") -> bytes:
    """Return the head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


async def read_status(reader: asyncio.StreamReader) -> int:
    """Return the status of a response, 0 if there is none."""
    words = (await reader.readline()).split()
    return int(words[1]) if len(words) > 1 else 0


def _timed(ask: Callable[[], httpx.Response]) -> tuple[int, float]:
    begun = time.perf_counter()
    try:
        status = ask().status_code
    except httpx.TransportError:
        status = 0
    return status, (time.perf_counter() - begun) * 1e3


def _run(port: int, attack: Attack, clients: int) -> None:
    async def repeat(client: int) -> None:
        while True:
            with suppress(OSError):
                await attack(port, client)
            await asyncio.sleep(0.01)

    async def all_clients() -> None:
        await asyncio.gather(*(repeat(client) for client in range(clients)))

    asyncio.run(all_clients())
