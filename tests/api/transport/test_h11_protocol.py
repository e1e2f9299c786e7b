"""Connections: slow heads, idle ones, too many of them, answers that nobody reads."""

import json
import pickle
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from app.api.transport import body_limits
from app.main import create_app, protocol_of
from app.settings import Settings
from tests.api.pictures import picture
from tests.api.test_request_body import connect, head
from tests.fakes import fake_analyzer
from tests.servers import client_of, http, serving, until

HURRIED = Settings(read_timeout_s=0.5, write_timeout_s=0.5, max_connections=6)


@pytest.fixture(scope="module")
def hurried() -> Iterator[str]:
    """The address of a service with short timeouts and few connections."""
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(create_app(HURRIED, fake_analyzer()), settings=HURRIED) as url,
    ):
        patch.setattr(body_limits, "_MAX_LINGER_S", 0.1)
        yield url


def rest(wire: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    wire.settimeout(60)
    data = b""
    with suppress(ConnectionResetError):
        while piece := wire.recv(65536):
            data += piece
    return data


def refusal(data: bytes, status: int, kind: str) -> str:
    top, _, body = data.partition(b"\r\n\r\n")
    assert f" {status} ".encode() in top.split(b"\r\n")[0]
    assert b"application/problem+json" in top
    assert b"nosniff" in top
    told = json.loads(body)
    assert (told["type"], told["status"]) == (f"/problems/{kind}", status)
    return str(told["detail"])


@pytest.mark.parametrize("start", [b"G", b"POST /detect HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_does_not_end_is_given_up(hurried: str, start: bytes) -> None:
    begun = time.monotonic()
    with connect(hurried) as wire:
        wire.sendall(start)
        assert "0.5 seconds" in refusal(rest(wire), 408, "head-timeout")
    assert time.monotonic() - begun > 0.4


def test_a_head_that_trickles_is_given_up(hurried: str) -> None:
    begun = time.monotonic()
    with connect(hurried) as wire, suppress(OSError):
        wire.sendall(b"GET /livez HTTP/1.1\r\n")
        while time.monotonic() - begun < 60:
            wire.sendall(b"x")
            time.sleep(0.05)
    assert time.monotonic() - begun < 60


def test_the_second_head_of_a_connection_is_timed_too(hurried: str) -> None:
    with connect(hurried) as wire:
        wire.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in wire.recv(65536)
        wire.sendall(b"GET /li")
        refusal(rest(wire), 408, "head-timeout")


def test_a_connection_that_says_nothing_is_closed(hurried: str) -> None:
    with connect(hurried) as wire:
        assert rest(wire) == b""


def test_requests_one_after_the_other_and_at_once(hurried: str) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(hurried) as wire:
        wire.sendall(request)
        assert b" 200 " in wire.recv(65536)
        wire.sendall(request * 3)
        data = b""
        while data.count(b" 200 ") < 3:
            data += wire.recv(65536)


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",  # no host
        b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"\x00" * 100_000,
    ],
)
def test_what_is_no_http_is_a_problem_too(hurried: str, data: bytes) -> None:
    with connect(hurried) as wire:
        with suppress(OSError):
            wire.sendall(data)
        told = rest(wire)
        if told:  # a reset may come first
            assert "HTTP/1.1" in refusal(told, 400, "bad-request")
    assert http.get(f"{hurried}/livez").status_code == 200


def test_a_bad_chunk_ends_its_request(hurried: str) -> None:
    with connect(hurried) as wire:
        wire.sendall(head("Content-Type: image/png", "Transfer-Encoding: chunked") + b"zz\r\n")
        refusal(rest(wire), 400, "bad-request")
    assert http.get(f"{hurried}/livez").status_code == 200


def test_more_connections_than_there_may_be(hurried: str) -> None:
    with ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(connect(hurried))
        time.sleep(0.1)
        refusal(rest(stack.enter_context(connect(hurried))), 503, "overloaded")
    until(lambda: http.get(f"{hurried}/livez").status_code == 200)


def test_the_rest_of_an_unwanted_body_is_not_waited_for(hurried: str) -> None:
    """Though the connection might be used again."""
    with connect(hurried) as wire:
        wire.sendall(head("Content-Type: text/plain", "Content-Length: 1000") + b"x")
        assert b" 415 " in rest(wire).split(b"\r\n")[0]  # to the end: it is closed


def test_an_answer_that_nobody_reads_is_given_up(hurried: str) -> None:
    """The sockets' buffers hold some of it, and the service none of it for long."""
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.connect(("127.0.0.1", int(hurried.rpartition(":")[2])))
        asked = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
        wire.sendall(asked * 8)

        def aborted() -> bool:
            return metric(hurried, 'face_rejected_total{reason="slow-reader"}') == 1

        until(aborted)


def metric(url: str, name: str) -> float:
    lines = http.get(f"{url}/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0)


def test_a_large_answer_that_is_read_comes_whole(hurried: str) -> None:
    assert len(http.get(f"{hurried}/docs/assets/swagger-ui-bundle.js").content) > 1_000_000
    answer = http.post(f"{hurried}/detect", files={"image": picture()}, headers={"accept": "image/png"})
    assert answer.content.startswith(b"\x89PNG")


def test_answers_on_a_kept_connection_are_sent_at_once(hurried: str) -> None:
    """With Nagle's algorithm every answer but the first waits 40 ms for the client's acknowledgement."""
    times = []
    with client_of(hurried) as client:
        for _ in range(10):
            start = time.perf_counter()
            assert client.get("/livez").status_code == 200
            times.append(time.perf_counter() - start)
    assert min(times[1:]) < 0.03


def test_it_can_be_handed_to_a_worker() -> None:
    assert pickle.loads(pickle.dumps(protocol_of(HURRIED))).keywords["max_connections"] == 6
