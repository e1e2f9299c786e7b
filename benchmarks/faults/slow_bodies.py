"""Clients whose bodies arrive slowly or stop, and healthy clients beside them."""

import asyncio

from benchmarks.faults.attack import attacked, head, observe
from benchmarks.faults.service import Service

_RATE = 18_000


def run(service: Service) -> list[tuple[str, str]]:
    """Return the responses to healthy requests beside each kind of slow clients."""
    rows = []
    for name, attack, clients in (
        ("32 clients at 18 KB/s", trickle, 32),
        ("300 clients at 18 KB/s", trickle, 300),
        ("32 clients that stop after two bytes", stop, 32),
        ("60 clients that stop after 19 MB", stop_late, 60),
    ):
        with service.start(write_timeout_s=5) as running:
            with attacked(running.port, attack, clients, settle_s=5):
                health = observe(running.url, 15)
                memory = running.memory_mb("VmHWM")
            rows.append((f"{name}: /detect", health.detect))
            rows.append((f"{name}: peak memory", f"{memory:.0f} MiB"))
            service.require(set(health.statuses) == {200}, f"{name}: {health.detect}")
    return rows


async def trickle(port: int, client: int) -> None:
    """Send a body at 18 KB/s."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head("Content-Type: image/jpeg", "Content-Length: 10000000"))
        answer = asyncio.ensure_future(reader.read(1))
        while not answer.done():
            writer.write(bytes(_RATE // 10))
            await asyncio.sleep(0.1)
    finally:
        writer.close()


async def stop(port: int, client: int, sent: int = 2) -> None:
    """Stop within a body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head("Content-Type: image/jpeg", "Content-Length: 20000000") + bytes(sent))
        await reader.read()
    finally:
        writer.close()


async def stop_late(port: int, client: int) -> None:
    """Stop within a body after 19 MB."""
    await stop(port, client, 19_000_000)
