"""Clients that shut down their sending side are answered; the work of those that have gone ends."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from app.api.transport import half_close
from app.main import create_app
from app.settings import Settings
from tests.api.pictures import picture
from tests.api.test_request_body import connect, head
from tests.api.transport.test_h11_protocol import metric, rest
from tests.fakes import fake_analyzer
from tests.servers import serving, until

LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_close, "_PROBE_S", 0.1)


@contextmanager
def slow_service() -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of a service whose detector waits, and a function that lets it go on."""
    free = threading.Event()
    free.set()

    def wait() -> None:
        free.wait(30)

    with serving(create_app(Settings(), fake_analyzer(wait))) as url:
        free.clear()
        try:
            yield url, free.set
        finally:
            free.set()


def ask(wire: socket.socket, version: bytes = b"1.1") -> None:
    data = picture()
    request = head("Content-Type: image/jpeg", f"Content-Length: {len(data)}")
    wire.sendall(request.replace(b"HTTP/1.1", b"HTTP/" + version) + data)


def test_a_half_closed_client_is_answered_at_once(fake_server: str) -> None:
    """Without an interim response, and the connection is closed after it."""
    with connect(fake_server) as wire:
        ask(wire)
        wire.shutdown(socket.SHUT_WR)
        answer = rest(wire)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"faces"' in answer


def test_requests_in_a_row_are_all_answered(fake_server: str) -> None:
    with connect(fake_server) as wire:
        wire.sendall(LIVE * 3)
        wire.shutdown(socket.SHUT_WR)
        assert rest(wire).count(b"HTTP/1.1 200 ") == 3


@pytest.mark.parametrize(("version", "interim"), [(b"1.1", 1), (b"1.0", 0)])
def test_a_half_closed_client_may_wait_long(version: bytes, interim: int) -> None:
    with slow_service() as (url, go_on), connect(url) as wire:
        ask(wire, version)
        wire.shutdown(socket.SHUT_WR)
        threading.Timer(0.5, go_on).start()
        answer = rest(wire)
    assert answer.count(b"HTTP/1.1 100 ") == interim
    assert answer.count(b"HTTP/1.1 200 ") == 1


def test_the_work_of_a_client_that_has_gone_ends() -> None:
    with slow_service() as (url, _):
        with connect(url) as wire:
            ask(wire)
            until(lambda: metric(url, "face_queue_running") == 1)
        until(lambda: metric(url, 'face_rejected_total{reason="cancelled"}') == 1, 5)


@pytest.mark.parametrize("data", [b"", b"GET /li", head("Content-Length: 9") + b"x"])
def test_without_a_complete_request_the_connection_closes(fake_server: str, data: bytes) -> None:
    with connect(fake_server) as wire:
        wire.sendall(data)
        wire.shutdown(socket.SHUT_WR)
        assert b" 200 " not in rest(wire)
