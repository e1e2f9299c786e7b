"""A server that gives the answers of a script, and keeps the requests."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Scripted:
    """An answer.

    Attributes:
        status: the HTTP status.
        content: the body.
        headers: headers of the answer.
        cut: whether the connection ends before the end of the body.
    """

    status: int = 200
    content: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass(frozen=True)
class Received:
    """A request that arrived."""

    line: str
    headers: Mapping[str, str]
    body: bytes
    port: int


def problem(slug: str, status: int = 503, retry_after: str | None = "1", **fields: Any) -> Scripted:
    """An answer with a problem of the service."""
    content = {
        "type": f"/problems/{slug}",
        "title": "T",
        "status": status,
        "detail": "It is wrong.",
        **fields,
    }
    headers = {"Content-Type": "application/problem+json", "X-Request-ID": "r1"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return Scripted(status, json.dumps(content).encode(), headers)


@contextmanager
def scripted(answers: Sequence[Scripted]) -> Iterator[tuple[str, list[Received]]]:
    """Run the server; yield its address, and the list of the requests that have arrived."""
    received: list[Received] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            received.append(
                Received(self.requestline, dict(self.headers), self._body(), self.client_address[1])
            )
            answer = answers[len(received) - 1]
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.content) + answer.cut))
            self.end_headers()
            self.wfile.write(answer.content)
            self.close_connection = answer.cut

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
