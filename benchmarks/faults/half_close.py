"""Clients that shut down their sending side after a request, and clients that close the connection."""

import socket
import time

import httpx

from benchmarks.faults import attack
from benchmarks.faults.service import Running, Service, wait_until
from benchmarks.pictures import jpeg


def run(service: Service) -> list[tuple[str, str]]:
    """Return whether the half-closed client is answered, and when abandoned requests end."""
    with service.start() as running:
        answer = _send(running, jpeg(640, 480), stop=True)
        large = jpeg(6000, 6000)
        for _ in range(20):
            _send(running, large, stop=False)
        wait_until(lambda: _in_progress(running) > 10, 5)
        ended = wait_until(lambda: _in_progress(running) <= 1, 120)
    service.require(b" 200 " in answer, f"{answer[:40]!r}")
    return [
        ("answer to a half-closed client", answer.split(b"\r\n")[0].decode() or "none"),
        ("20 requests of 36 megapixels whose clients closed: all ended after", f"{ended:.1f} s"),
    ]


def _send(running: Running, image: bytes, stop: bool) -> bytes:
    head = attack.head("Content-Type: image/jpeg", f"Content-Length: {len(image)}")
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as wire:
        wire.sendall(head + image)
        if not stop:
            time.sleep(0.05)
            return b""
        wire.shutdown(socket.SHUT_WR)
        data = b""
        while piece := wire.recv(65536):
            data += piece
        return data


def _in_progress(running: Running) -> float:
    lines = httpx.get(f"{running.url}/metrics", timeout=60).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("face_requests_in_progress "))
