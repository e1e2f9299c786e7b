"""Bodies that come slowly, by halves, or too many at once, over real connections."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from app.main import create_app, pace_of
from app.settings import Settings
from tests.api.pictures import picture, problem
from tests.api.test_reading import connect, head, part
from tests.fakes import fake_analyzer
from tests.servers import serving, until

SILENCE = 0.5
HURRIED = Settings(silence_s=SILENCE, body_s=1.5, body_rate=20_000, max_body_memory_mb=1)


@pytest.fixture(scope="module")
def hurried() -> Iterator[str]:
    """A service without patience, and with room for a megabyte of bodies."""
    with serving(create_app(HURRIED, fake_analyzer()), settings=HURRIED) as url:
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
        b"\x89PNG",
        part("image", picture())[:-40],
        b'{"image": "AAAA',
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
    assert told["detail"] == "Nothing more of the body came for 0.5 seconds."
    assert time.monotonic() - begun >= SILENCE


@pytest.mark.parametrize(
    ("size", "words"),
    [(1, "more slowly than 20000 bytes a second"), (9000, "did not come within 1.5 seconds")],
)
def test_a_trickle_is_given_up(hurried: str, size: int, words: str) -> None:
    """One byte each tenth of a second is never silent for long, and 90,000 bytes a second never end."""
    with connect(hurried) as wire:
        wire.sendall(head("Content-Type: image/png", "Content-Length: 10000000"))
        ended = threading.Event()

        def trickle() -> None:
            while not ended.wait(0.1):
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
    """The client's silence while it waits for its answer is no slow body."""
    with serving(create_app(HURRIED, fake_analyzer(lambda: time.sleep(2 * SILENCE)))) as url:
        assert httpx.post(f"{url}/detect", files={"image": picture()}, timeout=20).status_code == 200


def test_bodies_have_so_much_memory_together(hurried: str) -> None:
    large = bytes(700_000)
    with connect(hurried) as wire:
        wire.sendall(head("Content-Type: image/png", f"Content-Length: {len(large) + 1}") + large)
        response = until_status(hurried, large, 503)
        assert "memory" in problem(response, 503, "overloaded")["detail"]
        assert response.headers["retry-after"]
    until(lambda: post(hurried, large).status_code == 422)  # the memory is given back


def until_status(url: str, body: bytes, status: int) -> httpx.Response:
    end = time.monotonic() + 0.9 * SILENCE
    while (response := post(url, body)).status_code != status:
        assert time.monotonic() < end
    return response


def post(url: str, body: bytes) -> httpx.Response:
    return httpx.post(f"{url}/detect", content=body, headers={"content-type": "image/png"})


def test_settings_are_the_pace() -> None:
    pace = pace_of(Settings(silence_s=1, body_s=2, body_rate=3, answer_s=4))
    assert (pace.silence, pace.body, pace.rate, pace.answer) == (1, 2, 3, 4)
