"""A closed loop of healthy clients beside a fault."""

import asyncio
import itertools
import time
from collections.abc import Callable

from benchmarks.clients import Outcome, closed
from benchmarks.faults.service import Running
from benchmarks.pictures import same

SIZE = (640, 480)


def during_load(
    running: Running, clients: int, seconds: float, fault: Callable[[Running], float]
) -> tuple[Outcome, float, float]:
    """Send `/detect` with JPEGs of 640x480 in a closed loop, and cause a fault after a quarter of its time.

    Args:
        running: the service.
        clients: number of clients.
        seconds: duration of the load.
        fault: causes the fault, in a thread of its own, and returns a figure of it.

    Returns:
        The results of the load, the time of the fault in seconds from its start, and the result of `fault`.
    """
    return asyncio.run(_during_load(running, clients, seconds, fault))


async def _during_load(
    running: Running, clients: int, seconds: float, fault: Callable[[Running], float]
) -> tuple[Outcome, float, float]:
    asks = itertools.cycle(same("/detect", *SIZE))
    load = asyncio.create_task(closed(running.url, asks, clients, seconds=seconds))
    begun = time.perf_counter()
    await asyncio.sleep(seconds / 4)
    at = time.perf_counter() - begun
    figure = await asyncio.to_thread(fault, running)
    return await load, at, figure
