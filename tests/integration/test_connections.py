"""Clients that hold connections, bodies and answers, beside healthy ones. The bounds are generous."""

import io
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.api.pictures import picture
from tests.api.test_request_body import connect, head
from tests.processes import SLOW, is_ready, process
from tests.servers import http, until

pytestmark = pytest.mark.integration

CHUNKED = head("Content-Type: image/jpeg", "Transfer-Encoding: chunked")


@contextmanager
def service(**settings: object) -> Iterator[tuple[int, str, list[str]]]:
    """The process id, the address and the log of a service with fake nets."""
    with process("-c", SLOW, "0", **settings) as (running, url, lines):
        until(lambda: is_ready(url), 120)
        yield running.pid, url, lines


def statuses(url: str, count: int = 10) -> set[int]:
    data = {"image": picture()}
    return {http.post(f"{url}/detect", files=data, timeout=30).status_code for _ in range(count)}


def test_bodies_that_stop_take_no_place() -> None:
    with ExitStack() as stack, service() as (_, url, _):
        for _ in range(60):
            wire = stack.enter_context(connect(url))
            wire.sendall(head("Content-Type: image/jpeg", "Content-Length: 9000") + b"xx")
        assert statuses(url) == {200}


def test_bodies_that_stop_late_keep_no_memory_from_others() -> None:
    with ExitStack() as stack, service(max_body_memory_mb=20) as (_, url, _):
        for _ in range(8):
            wire = stack.enter_context(connect(url))
            with suppress(OSError):
                wire.sendall(head("Content-Type: image/jpeg", "Content-Length: 9000000") + bytes(4_000_000))
        time.sleep(0.5)
        assert statuses(url) == {200}


def test_idle_connections_that_come_again_keep_nobody_out() -> None:
    over = threading.Event()

    def idle(port: int) -> None:
        while not over.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as wire:
                wire.settimeout(1)
                while not over.is_set():
                    with suppress(TimeoutError):
                        if not wire.recv(1):
                            break

    with service(max_connections=50) as (pid, url, _):
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        port = int(url.rpartition(":")[2])
        threads = [threading.Thread(target=idle, args=(port,)) for _ in range(60)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        try:
            assert statuses(url, 20) == {200}
        finally:
            over.set()
            for thread in threads:
                thread.join(30)
        until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= descriptors + 2, 30)


@pytest.mark.parametrize(
    ("once", "again"),
    [
        (CHUNKED, b"1\r\nx\r\n" * 5000),
        (CHUNKED + b"0\r\n", b"a:b\r\n" * 5000),
        (b"", head(*["a:b"] * 5000)),
        (b"", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100),
    ],
    ids=["chunks", "trailers", "headers", "pipeline"],
)
def test_what_takes_long_to_parse_leaves_time_for_others(once: bytes, again: bytes) -> None:
    over = threading.Event()

    def flood(url: str) -> None:
        while not over.is_set():
            with suppress(OSError), connect(url) as wire:
                wire.settimeout(5)
                wire.sendall(once)
                while not over.is_set():
                    wire.sendall(again)

    with service() as (_, url, _):
        threads = [threading.Thread(target=flood, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        took = []
        try:
            for _ in range(20):
                start = time.monotonic()
                assert http.get(f"{url}/livez", timeout=30).status_code == 200
                took.append(time.monotonic() - start)
        finally:
            over.set()
            for thread in threads:
                thread.join(30)
        assert sorted(took)[10] < 0.5


def test_answers_that_nobody_reads_take_bounded_memory() -> None:
    pixels, file = np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), np.uint8), io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    noise = file.getvalue()
    with ExitStack() as stack, service(max_response_memory_mb=25, max_concurrent=2) as (pid, url, _):
        asked = head("Content-Type: image/jpeg", "Accept: image/png", f"Content-Length: {len(noise)}")
        before = peak_mb(pid)
        for _ in range(30):
            wire = stack.enter_context(socket.socket())
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            wire.settimeout(30)
            wire.sendall(asked + noise)
            wire.recv(1)  # its answer has begun
        assert statuses(url) == {200}
        assert peak_mb(pid) - before < 140  # 30 answers of 6 MB are 180


def peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def test_without_file_descriptors_one_line_is_logged() -> None:
    with ExitStack() as stack, service() as (pid, url, lines):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, 64))
        for _ in range(100):
            stack.enter_context(connect(url))
        time.sleep(3)
        found = [line for line in lines if "cannot be accepted" in line]
        assert len(found) == 1
        assert "FACE_MAX_CONNECTIONS" in found[0]
        assert len(lines) < 50
