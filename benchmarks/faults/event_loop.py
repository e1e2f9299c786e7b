"""Four clients that send what is small and takes long to parse, and healthy clients beside them."""

import asyncio
from functools import partial

from benchmarks.faults.attack import attacked, head, observe
from benchmarks.faults.service import Service

_CHUNKED = head("Content-Type: image/jpeg", "Transfer-Encoding: chunked")

_FORM = head("Content-Type: multipart/form-data; boundary=b", "Content-Length: 19000000")
_PART = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n'

_LIMIT_MS = 100

ATTACKS = {
    "chunks of one byte": (_CHUNKED, b"1\r\nx\r\n" * 10_000),
    "chunks of 512 bytes": (_CHUNKED, (b"200\r\n" + bytes(512) + b"\r\n") * 120),
    "long chunk extensions": (_CHUNKED, b"1;" + b"x" * 15_000 + b"\r\nx\r\n"),
    "trailers": (_CHUNKED + b"0\r\n", b"a:b\r\n" * 12_000),
    "header lines": (b"", head(*["a:b"] * 12_000, method="GET", path="/livez")),
    "pipelined requests": (b"", head(method="GET", path="/livez") * 100),
    "query parameters": (b"", head("Content-Length: 0", path="/detect?" + "a=1&" * 15_000)),
    "boundaries that go on otherwise": (_FORM + _PART, b"\r\n--bx" * 10_000),
}
"""For each attack the bytes that are sent once, and those that are sent again and again."""


def run(service: Service) -> list[tuple[str, str]]:
    """Return the times of healthy requests beside each attack."""
    rows: list[tuple[str, str]] = []
    with service.start() as running:
        health = observe(running.url, 8)
    rows += [("no attack: /livez", health.live), ("no attack: /detect", health.detect)]
    for name in ATTACKS:
        with service.start() as running, attacked(running.port, partial(flood, name), 4):
            health = observe(running.url, 8)
        rows += [(f"{name}: /livez", health.live), (f"{name}: /detect", health.detect)]
        slowest = max(health.live_ms, default=float("inf"))
        service.require(slowest < _LIMIT_MS, f"{name}: /livez {health.live}")
        service.require(set(health.statuses) == {200}, f"{name}: /detect {health.detect}")
    return rows


async def flood(name: str, port: int, client: int) -> None:
    """Send the bytes of an attack until the connection is closed."""
    once, again = ATTACKS[name]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(once)
        while not reader.at_eof():
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(0)
    finally:
        writer.close()
