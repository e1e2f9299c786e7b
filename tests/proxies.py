"""A reverse proxy that serves another server under a path, for tests."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = ("connection", "host", "keep-alive", "transfer-encoding")


@contextmanager
def proxy(inner: str, prefix: str, strip: bool, headers: Mapping[str, str]) -> Iterator[str]:
    """Run a proxy in a thread; yield the address under which it serves the inner server.

    Args:
        inner: address of the inner server.
        prefix: the path under which it is served.
        strip: whether the proxy removes the prefix from the paths of requests, or passes it on.
        headers: headers that the proxy adds to each request.
    """
    target = urlsplit(inner)

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            if not self.path.startswith(prefix):
                self.send_error(404)
                return
            path = (self.path.removeprefix(prefix) or "/") if strip else self.path
            sent = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            inside = HTTPConnection(target.netloc, timeout=30)
            try:
                inside.request(self.command, path, body or None, {**sent, **headers})
                answer = inside.getresponse()
                data = answer.read()
            finally:
                inside.close()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *values: object) -> None:
            """Log nothing."""

        do_GET = do_POST = do_PUT = do_OPTIONS = handle_any

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
