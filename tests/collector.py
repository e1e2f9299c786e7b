"""An OpenTelemetry collector: an HTTP server that keeps the spans that are sent to it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Received:
    """A span as the collector received it. The ids are hexadecimal, that of no parent is empty."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    status: int
    events: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Collector:
    """The address of a collector, what was sent to it, and the status that it answers."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    status: int = 200

    @property
    def spans(self) -> list[Received]:
        """All spans, in the order in which they arrived."""
        return [span for body in self.bodies for span in _spans(body)]

    def of(self, trace_id: str) -> list[Received]:
        """Return the spans of a trace, by start."""
        return sorted((s for s in self.spans if s.trace_id == trace_id), key=lambda span: span.start)

    def requests(self, name: str) -> list[Received]:
        """Return the spans of requests with this name."""
        return [span for span in self.spans if span.name == name and span.kind == 2]

    def tree(self, root: Received) -> dict[str, Any]:
        """Return the names of the spans below a span, as nested mappings in the order of their starts.

        A name that comes several times has its number behind it.
        """
        found: dict[str, Any] = {}
        for span in self.of(root.trace_id):
            if span.parent_id == root.span_id:
                times = sum(name.partition(" #")[0] == span.name for name in found)
                found[f"{span.name} #{times + 1}" if times else span.name] = self.tree(span)
        return found


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector on a free port."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if found.status == 200:
                found.paths.append(self.path)
                found.bodies.append(body)
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _spans(body: bytes) -> Iterator[Received]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Received(
                    span.name,
                    span.kind,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code,
                    len(span.events),
                    _values(span.attributes),
                    _values(resource.resource.attributes),
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
