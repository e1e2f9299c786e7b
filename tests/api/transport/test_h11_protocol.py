"""Connections: slow heads, idle ones, too many of them, answers that nobody reads."""

import json
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from app.api.transport import body_limits, lingering_close
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


@pytest.mark.parametrize("start", [b"G", b"POST /detect HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
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
        wire.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in wire.recv(65536)
        wire.sendall(b"GET /li")
        refusal(rest(wire), 408, "head-timeout")


def test_a_connection_that_says_nothing_is_closed(hurried: str) -> None:
    with connect(hurried) as wire:
        assert rest(wire) == b""


def test_requests_one_after_the_other_and_at_once(hurried: str) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
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
        b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"\x00" * 100_000,
    ],
)
def test_what_is_no_http_is_a_problem_too(hurried: str, data: bytes) -> None:
    with connect(hurried) as wire:
        wire.sendall(data)
        assert "HTTP/1.1" in refusal(rest(wire), 400, "bad-request")
    assert http.get(f"{hurried}/livez").status_code == 200


def test_a_bad_chunk_ends_its_request(hurried: str) -> None:
    with connect(hurried) as wire:
        wire.sendall(head("Content-Type: image/png", "Transfer-Encoding: chunked") + b"zz\r\n")
        refusal(rest(wire), 400, "bad-request")
    assert http.get(f"{hurried}/livez").status_code == 200


def test_more_connections_than_there_may_be() -> None:
    with working(2) as (url, _), connect(url) as wire:
        assert "All 2 connections" in refusal(rest(wire), 503, "overloaded")


def test_idle_connections_make_room_for_requests(hurried: str) -> None:
    """Also those that have sent a part of a head or of a body. Each request closes one of them."""
    with ExitStack() as stack:
        idle, slow, body, *others = [stack.enter_context(connect(hurried)) for _ in range(6)]
        slow.sendall(b"GET /li")
        body.sendall(head("Content-Type: image/png", "Content-Length: 9000") + b"x")
        time.sleep(0.05)
        for wire in others:
            wire.sendall(head("Content-Type: image/png", "Content-Length: 9000") + bytes(8000))
        time.sleep(0.05)
        surplus = [stack.enter_context(connect(hurried)) for _ in range(3)]
        for wire in surplus:
            wire.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in wire.recv(65536).split(b"\r\n")[0]
            wire.sendall(head("Content-Type: image/png", "Content-Length: 9000") + bytes(8000))
            time.sleep(0.05)
        assert rest(idle) == b""
        assert "needed the connection" in refusal(rest(slow), 408, "head-timeout")
        assert "more slowly" in refusal(rest(body), 408, "body-timeout")


def test_a_connection_that_sends_nothing_displaces_none(hurried: str) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(connect(hurried))
        for _ in range(11):
            stack.enter_context(connect(hurried))
        time.sleep(0.1)
        first.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in first.recv(65536).split(b"\r\n")[0]


@pytest.mark.parametrize("size", [0, 20_000, 2_000_000])
@pytest.mark.parametrize("at_once", [1, 60])
def test_each_client_beyond_the_connections_reads_its_refusal(crowded: str, size: int, at_once: int) -> None:
    """Though it sends its body at once. http.client fails if the connection is reset while it sends."""

    def status(_: int) -> int:
        client = HTTPConnection(urlsplit(crowded).netloc, timeout=30)
        try:
            client.request("POST", "/detect", bytes(size), {"Content-Type": "image/jpeg"})
            answer = client.getresponse()
            assert answer.headers["Retry-After"]
            assert json.loads(answer.read())["type"] == "/problems/overloaded"
            return answer.status
        finally:
            client.close()

    with ThreadPoolExecutor(at_once) as clients:
        assert [*clients.map(status, range(60))] == [503] * 60


@contextmanager
def working(connections: int) -> Iterator[tuple[str, list[socket.socket]]]:
    """The address of a service with so many connections, and those: each waits for an answer of the service.

    They get it in the end.
    """
    settings = Settings(max_connections=connections)
    free = threading.Event()
    free.set()

    def wait() -> None:
        free.wait(60)

    app = create_app(settings, fake_analyzer(wait))
    with ExitStack() as stack, serving(app, settings=settings) as url:
        free.clear()
        stack.callback(free.set)
        wires = [stack.enter_context(connect(url)) for _ in range(connections)]
        for wire in wires:
            data = picture()
            wire.sendall(head("Content-Type: image/jpeg", f"Content-Length: {len(data)}") + data)
        until(lambda: http.get(f"{url}/livez").status_code == 503)
        yield url, wires
        free.set()
        for wire in wires:
            if wire.fileno() >= 0:
                assert b" 200 " in wire.recv(65536).split(b"\r\n")[0]


@pytest.fixture
def crowded() -> Iterator[str]:
    """The address of a service whose only connection works."""
    with working(1) as (url, _):
        yield url


def test_refused_connections_take_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor time without end: each is closed in a moment, whether its client sends, closes or is silent."""
    monkeypatch.setattr(lingering_close, "MAX_LINGER_S", 2)
    with ExitStack() as stack, working(2) as (url, held):
        refused = [stack.enter_context(connect(url)) for _ in range(10)]
        for wire in refused[:5]:
            wire.sendall(head("Content-Length: 1000000000"))
            assert b" 503 " in wire.recv(65536).split(b"\r\n")[0]
        held[0].close()
        until(lambda: http.get(f"{url}/livez").status_code == 200, 5)  # while the others are open
        for wire in refused[5:]:
            refusal(rest(wire), 503, "overloaded")
        assert sends_for(refused[0], 5) < 4


def sends_for(wire: socket.socket, seconds: float) -> float:
    """For how many seconds bytes can be sent, at most the given number: until the other side closes."""
    start = time.monotonic()
    with suppress(OSError):
        while time.monotonic() - start < seconds:
            wire.sendall(bytes(1000))
            time.sleep(0.01)
    return time.monotonic() - start


def test_not_more_than_so_many_refused_connections_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering_close, "MAX_LINGERING_CONNECTIONS", 3)
    monkeypatch.setattr(lingering_close, "MAX_LINGER_S", 30)
    with ExitStack() as stack, working(1) as (url, _):
        refused = [stack.enter_context(connect(url)) for _ in range(5)]
        for wire in refused:
            wire.sendall(head("Content-Length: 1000000000"))
            refusal(rest(wire), 503, "overloaded")
        assert sum(sends_for(wire, 2) < 1 for wire in refused) == 2  # closed


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
            "it is TLS. The service speaks plain HTTP",
        ),
        (b"GET /livez HTTP/1.1\r\n\r\n", "Missing mandatory Host"),
        (b"GET /li vez HTTP/1.1\r\nHost: localhost\r\n\r\n", "illegal request line: 'GET /li vez HTTP/1.1'"),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "Transfer-Encoding",
        ),
        (b"x" * 1000 + b"\r\n\r\n", "illegal request line"),
    ],
)
def test_the_reason_is_named(hurried: str, data: bytes, words: str) -> None:
    with connect(hurried) as wire:
        wire.sendall(data)
        detail = refusal(rest(wire), 400, "bad-request")
    assert words in detail
    assert detail.endswith(".")
    assert len(detail) < 300


def test_types_of_problems_are_under_the_root_path() -> None:
    settings = Settings(root_path="/facet")
    with serving(create_app(settings, fake_analyzer()), settings=settings) as url, connect(url) as wire:
        wire.sendall(b"nonsense\r\n\r\n")
        assert b'"/facet/problems/bad-request"' in rest(wire)


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
        asked = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
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
    assert pickle.loads(pickle.dumps(protocol_of(HURRIED))).keywords["table"].limit == 6


def test_a_client_displaces_its_own_connections_at_its_limit() -> None:
    """Though there is room for others. By default addresses of this machine have no limit."""
    settings = Settings(max_connections=6, max_connections_per_client=2, trusted_proxies="192.0.2.1")
    with ExitStack() as stack, serving(create_app(settings, fake_analyzer()), settings=settings) as url:
        first, second, third = [stack.enter_context(connect(url)) for _ in range(3)]
        third.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in third.recv(65536).split(b"\r\n")[0]
        assert rest(first) == b""
        second.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in second.recv(65536).split(b"\r\n")[0]


@pytest.mark.parametrize("framing", ["Content-Length: 1\r\nTransfer-Encoding: chunked", "Content-Length: x"])
@pytest.mark.parametrize("method", [b"POST", b"HEAD"])
def test_ambiguous_framing_closes_the_connection(hurried: str, framing: str, method: bytes) -> None:
    with connect(hurried) as wire:
        wire.sendall(head(framing).replace(b"POST", method) + b"1\r\nx\r\n0\r\n\r\n")
        answer = rest(wire)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"connection: close" in answer.lower()


def test_a_body_in_tiny_chunks_is_refused(hurried: str) -> None:
    with connect(hurried) as wire:
        wire.sendall(head("Content-Type: image/png", "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 3000)
        assert "Send chunks of 512 bytes or more" in refusal(rest(wire), 400, "bad-request")
