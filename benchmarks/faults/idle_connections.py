"""600 idle connections that come again when they are closed, and healthy clients beside them."""

import asyncio

from benchmarks.faults.attack import attacked, observe
from benchmarks.faults.service import Service


def run(service: Service) -> list[tuple[str, str]]:
    """Return the responses to healthy requests."""
    with service.start() as running, attacked(running.port, idle, 600, settle_s=4):
        health = observe(running.url, 20)
    service.require(set(health.statuses) == {200}, health.detect)
    return [("/detect", health.detect), ("/livez", health.live)]


async def idle(port: int, client: int) -> None:
    """Keep a connection open without a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await reader.read()
    finally:
        writer.close()
