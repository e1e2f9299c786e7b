"""The balancer of docker/replicas in front of fake replicas: what it passes on, and what it repeats."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from app.errors import NotReady
from app.service.problems import BY_ERROR
from tests.balancer import Balancer, balancing
from tests.servers import client_of, http, until

pytestmark = pytest.mark.integration

PERSON = "/collections/staff/people/0f3b6c0d9a4e4b6f8d2c1a7e5b9c3d21"


class FakeReplica:
    """An HTTP server that answers with its name.

    Attributes:
        is_ready: whether it says so.
        hangs: whether it keeps requests unanswered until it dies.
        crashes: whether it ends connections without an answer.
    """

    def __init__(self, name: str) -> None:
        self.is_ready = True
        self.hangs = self.crashes = False
        self.received: list[tuple[str, dict[str, str], int]] = []
        self._dead = threading.Event()
        replica = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                if self.path == "/readyz":
                    self.send_response(200 if replica.is_ready else 503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {key.lower(): value for key, value in self.headers.items()}
                replica.received.append((f"{self.command} {self.path}", headers, len(body)))
                if replica.hangs:
                    replica._dead.wait(30)
                if replica.hangs or replica.crashes:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, format: str, *values: object) -> None:
                """Log nothing."""

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def die(self) -> None:
        """Refuse connections, and close the open ones without an answer, as the death of a process does."""
        self._server.shutdown()
        self._server.socket.close()
        self._dead.set()


@pytest.fixture
def replicas() -> Iterator[tuple[FakeReplica, FakeReplica]]:
    both = FakeReplica("first"), FakeReplica("second")
    yield both
    for replica in both:
        replica.die()


@pytest.fixture
def balancer(replicas: tuple[FakeReplica, FakeReplica], tmp_path: Path) -> Iterator[Balancer]:
    with balancing([replica.address for replica in replicas], tmp_path) as running:
        until(lambda: running.ready() == {"replica-1", "replica-2"}, 10)
        yield running


def sent_to_one_that_dies(
    replicas: tuple[FakeReplica, FakeReplica],
    balancer: Balancer,
    request: tuple[str, str, bytes],
    client: httpx.Client = http,
) -> httpx.Response:
    """Return the answer to a request that the first replica receives, and does not answer before it dies."""
    first, second = replicas
    first.hangs, second.is_ready = True, False
    until(lambda: balancer.ready() == {"replica-1"}, 10)
    method, path, body = request
    with ThreadPoolExecutor() as pool:
        received = len(first.received)
        answer = pool.submit(client.request, method, f"{balancer.url}{path}", content=body, timeout=30)
        until(lambda: len(first.received) > received, 10)
        second.is_ready = True
        until(lambda: balancer.ready() == {"replica-1", "replica-2"}, 10)
        first.die()
        return answer.result(30)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/detect"),
        ("POST", "/embed/batch"),
        ("POST", "/collections/staff/identify"),
        ("POST", f"{PERSON}/verify/?far=0.01"),
        ("POST", f"{PERSON}/faces"),
        ("GET", PERSON),
    ],
)
def test_a_request_that_may_be_repeated_is_answered_by_another_replica(
    replicas: tuple[FakeReplica, FakeReplica], balancer: Balancer, method: str, path: str
) -> None:
    body = b"x" * 700_000 if method == "POST" else b""
    answer = sent_to_one_that_dies(replicas, balancer, (method, path, body))
    assert (answer.status_code, answer.text) == (200, "second")
    ((_, headers, size),) = replicas[1].received
    assert size == len(body)
    assert headers["x-request-id"] == replicas[0].received[0][1]["x-request-id"]


def test_a_request_that_ends_its_replica_reaches_two(tmp_path: Path) -> None:
    replicas = [FakeReplica(name) for name in ("first", "second", "third", "fourth")]
    for replica in replicas:
        replica.crashes = True
    try:
        with balancing([replica.address for replica in replicas], tmp_path) as balancer:
            until(lambda: len(balancer.ready()) == 4, 10)
            for path in ("/detect", f"{PERSON}/faces") * 4:
                before = [len(replica.received) for replica in replicas]
                assert http.post(f"{balancer.url}{path}", content=b"x").status_code == 502
                reached = [
                    len(replica.received) - count for replica, count in zip(replicas, before, strict=True)
                ]
                assert sorted(reached) == [0, 0, 1, 1]
    finally:
        for replica in replicas:
            replica.die()


@pytest.mark.parametrize(
    ("method", "path", "size"),
    [
        ("POST", "/collections/staff/people", 30),
        ("POST", f"{PERSON}/merge", 30),
        ("PATCH", PERSON, 30),
        ("DELETE", PERSON, 0),
        ("DELETE", f"{PERSON}/faces", 0),
        ("POST", "/detect", 3_000_000),  # too large to be kept for a second time
    ],
)
def test_another_request_is_not_repeated_and_its_problem_says_so(
    replicas: tuple[FakeReplica, FakeReplica], balancer: Balancer, method: str, path: str, size: int
) -> None:
    answer = sent_to_one_that_dies(replicas, balancer, (method, path, b"x" * size))
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert "may have been made" in answer.json()["detail"]
    assert replicas[1].received == []


def test_a_connection_that_has_had_an_answer_is_closed_instead(
    replicas: tuple[FakeReplica, FakeReplica], balancer: Balancer
) -> None:
    replicas[1].is_ready = False
    until(lambda: balancer.ready() == {"replica-1"}, 10)
    with client_of(balancer.url) as client:
        assert client.get(PERSON).text == "first"
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            sent_to_one_that_dies(replicas, balancer, ("PATCH", PERSON, b"{}"), client)
    assert replicas[1].received == []


def test_a_replica_that_refuses_connections_costs_no_request(
    replicas: tuple[FakeReplica, FakeReplica], balancer: Balancer
) -> None:
    replicas[0].die()
    answers = [http.post(f"{balancer.url}/collections/staff/people", content=b"{}") for _ in range(6)]
    assert [answer.text for answer in answers] == ["second"] * 6
    until(lambda: balancer.ready() == {"replica-2"}, 10)


def test_a_replica_that_is_not_ready_gets_no_requests(
    replicas: tuple[FakeReplica, FakeReplica], balancer: Balancer
) -> None:
    replicas[1].is_ready = False
    until(lambda: balancer.ready() == {"replica-1"}, 10)
    assert {http.get(f"{balancer.url}/models").text for _ in range(6)} == {"first"}
    replicas[0].is_ready = False
    until(lambda: not balancer.ready(), 10)
    answer = http.get(f"{balancer.url}/models")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    kind = BY_ERROR[NotReady]
    assert [answer.json()[key] for key in ("type", "title", "status")] == [kind.uri, kind.title, kind.status]
    assert "not processed" in answer.json()["detail"]


def test_requests_are_shared(replicas: tuple[FakeReplica, FakeReplica], balancer: Balancer) -> None:
    texts = [http.get(f"{balancer.url}/models").text for _ in range(8)]
    assert sorted(texts) == ["first"] * 4 + ["second"] * 4


def test_headers_that_the_balancer_sets(
    replicas: tuple[FakeReplica, FakeReplica], balancer: Balancer
) -> None:
    replicas[1].is_ready = False
    until(lambda: balancer.ready() == {"replica-1"}, 10)
    http.get(f"{balancer.url}/models", headers={"X-Request-ID": "my-own", "X-Forwarded-Prefix": "/evil"})
    http.get(f"{balancer.url}/models", headers={"Host": "faces.example.org"})
    given, own = (headers for _, headers, _ in replicas[0].received)
    assert given["x-request-id"] == "my-own"
    assert "x-forwarded-prefix" not in given
    assert len(own["x-request-id"]) == 36
    assert own["host"] == "faces.example.org"


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/metrics?a=b"])
def test_metrics_of_one_replica_are_refused(
    replicas: tuple[FakeReplica, FakeReplica], balancer: Balancer, path: str
) -> None:
    assert http.get(f"{balancer.url}{path}").status_code == 403
    assert replicas[0].received + replicas[1].received == []


def test_a_client_with_slow_uploads_takes_a_part_of_the_connections(
    replicas: tuple[FakeReplica, FakeReplica], balancer: Balancer
) -> None:
    head = b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\nx"
    port = httpx.URL(balancer.url).port

    def is_answered(client: httpx.Client) -> bool:
        try:
            return client.get(f"{balancer.url}/models", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    with ExitStack() as stack:
        slow = []
        for _ in range(64):
            slow.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), 30)))
            slow[-1].sendall(head)
        until(lambda: not is_answered(http), 10)
        with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2")) as other:
            assert is_answered(other)
        slow.pop().close()
        until(lambda: is_answered(http), 10)
    received = replicas[0].received + replicas[1].received
    assert {request for request, *_ in received} == {"GET /models"}
