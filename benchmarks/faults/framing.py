"""Requests whose framing a proxy could read in another way (RFC 9112, 6.1 and 6.3)."""

import socket
from contextlib import suppress

from benchmarks.faults.service import Running, Service

_CHUNKED = "Transfer-Encoding: chunked"

_CASES = {
    "Content-Length and Transfer-Encoding": ("1.1", ["Content-Length: 6", _CHUNKED]),
    "HTTP/1.0 with Transfer-Encoding": ("1.0", [_CHUNKED]),
    "two different Content-Length": ("1.1", ["Content-Length: 6", "Content-Length: 7"]),
    "chunked, chunked": ("1.1", [f"{_CHUNKED}, chunked"]),
    "gzip, chunked": ("1.1", ["Transfer-Encoding: gzip, chunked"]),
}


def run(service: Service) -> list[tuple[str, str]]:
    """Return the response to each request, and whether the connection is closed after it."""
    rows = []
    with service.start() as running:
        for name, (version, headers) in _CASES.items():
            status, closed = _send(running, version, headers)
            rows.append((name, f"{status}, {'closed' if closed else 'open'}"))
            service.require(status in (400, 501) and closed, f"{name}: {status}")
    return rows


def _send(running: Running, version: str, headers: list[str]) -> tuple[int, bool]:
    head = "\r\n".join([f"POST /detect HTTP/{version}", "Host: localhost", *headers, "", ""]).encode()
    data = b""
    with socket.create_connection(("127.0.0.1", running.port), timeout=3) as wire:
        wire.sendall(head + b"1\r\nx\r\n0\r\n\r\n")
        closed = False
        with suppress(TimeoutError, ConnectionResetError):
            while piece := wire.recv(65536):
                data += piece
            closed = True
    return int(data.split()[1]) if data else 0, closed
