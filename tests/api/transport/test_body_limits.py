"""Bodies that come slowly, by halves, or too many at once, over real connections."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from app.api.transport import body_limits
from app.main import create_app, timeouts_of
from app.settings import Settings
from tests.api.pictures import picture, problem
from tests.api.test_request_body import connect, head, part
from tests.fakes import fake_analyzer
from tests.servers import http, serving

READ_TIMEOUT = 0.4
HURRIED = Settings(read_timeout_s=READ_TIMEOUT, body_timeout_s=1, min_body_rate=20_000, max_body_memory_mb=1)


@pytest.fixture(scope="module")
def hurried() -> Iterator[str]:
    """The address of a service with short timeouts and memory for one megabyte of bodies."""
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(create_app(HURRIED, fake_analyzer()), settings=HURRIED) as url,
    ):
        patch.setattr(body_limits, "_MAX_LINGER_S", 0.1)
        yield url


def answer(wire: socket.socket) -> dict[str, object]:
    """The problem that comes, once the connection is closed after it."""
    wire.settimeout(60)
    data = b""
    while piece := wire.recv(65536):
        data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    assert b"application/problem+json" in top
    assert b"connection: close" in top.lower()
    content: dict[str, object] = json.loads(body)
    assert str(content["status"]).encode() in top.split(b"\r\n")[0]
    return content


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"\x89PNG" + bytes(4000),  # enough for the minimum rate, which must not be what ends the request
        part("image", picture())[:-40],
        b'{"image": "' + b"A" * 4000,
    ],
    ids=["nothing", "raw", "multipart", "json"],
)
def test_a_half_sent_body_is_given_up(hurried: str, start: bytes) -> None:
    media = {b"-": "multipart/form-data; boundary=cut", b"{": "application/json"}.get(start[:1], "image/png")
    with connect(hurried) as wire:
        begun = time.monotonic()
        wire.sendall(head(f"Content-Type: {media}", "Content-Length: 9000") + start)
        told = answer(wire)
    assert told["type"] == "/problems/body-timeout"
    assert told["detail"] == "No byte of the body arrived for 0.4 seconds."
    assert time.monotonic() - begun >= READ_TIMEOUT


@pytest.mark.parametrize(
    ("size", "words"),
    [(1, "more slowly than 20000 bytes per second"), (9000, "was not complete within 1 seconds")],
)
def test_a_trickle_is_given_up(hurried: str, size: int, words: str) -> None:
    """One byte each 50 ms never exceeds the read timeout, and 180,000 bytes per second are fast enough."""
    with connect(hurried) as wire:
        wire.sendall(head("Content-Type: image/png", "Content-Length: 10000000"))
        ended = threading.Event()

        def trickle() -> None:
            while not ended.wait(0.05):
                try:
                    wire.sendall(b"x" * size)
                except OSError:
                    return

        sender = threading.Thread(target=trickle, daemon=True)
        sender.start()
        wire.settimeout(60)
        data = wire.recv(65536)
        while words.encode() not in data and (more := wire.recv(65536)):
            data += more
        ended.set()
        sender.join()
    assert b" 408 " in data.split(b"\r\n")[0]
    assert words.encode() in data


def test_a_slow_body_that_is_quick_enough_is_read(hurried: str) -> None:
    data = picture() + bytes(20_000)
    with connect(hurried) as wire:
        wire.sendall(head("Content-Type: image/jpeg", f"Content-Length: {len(data)}"))
        for i in range(5):
            wire.sendall(data[i * 4000 : (i + 1) * 4000])
            time.sleep(0.1)
        wire.sendall(data[20_000:])
        assert b" 200 " in wire.recv(65536).split(b"\r\n")[0]


def test_work_after_the_body_may_take_its_time() -> None:
    """No timeout of the body runs while the client waits for its answer."""
    waits = iter([0.0, 2 * READ_TIMEOUT])  # the warm-up detects once
    app = create_app(HURRIED, fake_analyzer(lambda: time.sleep(next(waits))))
    with serving(app, settings=HURRIED) as url:
        assert http.post(f"{url}/detect", files={"image": picture()}, timeout=20).status_code == 200


def test_a_body_that_stops_gives_way_to_another(hurried: str) -> None:
    large = bytes(700_000)
    with connect(hurried) as wire:
        wire.sendall(head("Content-Type: image/png", f"Content-Length: {len(large) + 1}") + large)
        time.sleep(0.1)
        assert post(hurried, large).status_code == 422
        told = answer(wire)
    assert told["type"] == "/problems/body-timeout"
    assert told["detail"] == "The body arrived more slowly than those of others."


def test_bodies_have_so_much_memory_together(hurried: str) -> None:
    response = post(hurried, bytes(1_100_000))
    assert "memory" in problem(response, 503, "overloaded")["detail"]
    assert response.headers["retry-after"]
    assert post(hurried, bytes(1_000_000)).status_code == 422  # the memory is given back


def test_the_memory_of_a_body_is_given_back_when_its_response_begins(hurried: str) -> None:
    """Not when its client has read it."""
    with connect(hurried) as wire:
        large = bytes(900_000)
        wire.sendall(head("Content-Type: image/png", f"Content-Length: {len(large)}") + large)
        assert b" 422 " in wire.recv(65536).split(b"\r\n")[0]
        assert b"face_body_bytes 0.0" in http.get(f"{hurried}/metrics").content


def post(url: str, body: bytes) -> httpx.Response:
    return http.post(f"{url}/detect", content=body, headers={"content-type": "image/png"})


def test_settings_are_the_timeouts() -> None:
    timeouts = timeouts_of(Settings(read_timeout_s=1, body_timeout_s=2, min_body_rate=3, write_timeout_s=4))
    assert (timeouts.read, timeouts.body, timeouts.min_body_rate, timeouts.write) == (1, 2, 3, 4)
