"""Traces: sends the spans of requests to an OpenTelemetry collector, over HTTP.

No other module imports OpenTelemetry, and this one is imported only if FACE_OTLP_ENDPOINT is set. The tracer
has a provider of its own instead of the global one, so that no library adds spans.
"""

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.errors import CannotStart
from app.logs import TRACE_IDS
from app.runtime.spans import TRACER, Span
from app.runtime.timing import Postponed

log = logging.getLogger(__name__)

_PATH = "/v1/traces"
_INTERVAL_S = 60.0
"""Minimum seconds between two log lines about spans that cannot be sent."""

_PROPAGATOR = TraceContextTextMapPropagator()


class OtelTracer:
    """A tracer whose spans are sent in batches by a separate thread, which never delays a request.

    While the collector does not answer, the oldest spans that wait are dropped. The variables OTEL_* of
    OpenTelemetry have the rest of the configuration.

    Args:
        endpoint: address of the collector, for example http://collector:4318.
        version: version of Facet, which each batch of spans has.

    Raises:
        CannotStart: a variable OTEL_* is invalid.
    """

    def __init__(self, endpoint: str, version: str) -> None:
        self._endpoint = endpoint.rstrip("/") + _PATH
        logger = logging.getLogger("opentelemetry")
        logger.handlers[:] = [_RareWarning()]
        logger.propagate = False
        try:
            # Without a handler at exit, whose time has no limit: `close` sends what waits.
            self._provider = TracerProvider(resource=_resource(version), shutdown_on_exit=False)
            exporter = OTLPSpanExporter(endpoint=self._endpoint)
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        except ValueError as error:
            raise CannotStart(
                f"OpenTelemetry refuses a variable OTEL_*, which must be corrected: {error}"
            ) from error
        self._tracer = self._provider.get_tracer("facet", version)

    def close(self, timeout_s: float) -> None:
        """Send the spans that wait, and drop those that are not sent within the time."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        with suppress(RuntimeError):  # there is no memory for a thread
            closing.start()
            closing.join(timeout_s)
        if closing.is_alive():
            log.warning("The last spans were not sent: the collector at %s does not answer.", self._endpoint)

    @contextmanager
    def request(self, name: str, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Span]:
        """Make the span of a request, and make this tracer the current one; see `Tracer.request`.

        Yields:
            The span.
        """
        tracer, ids = TRACER.set(self), TRACE_IDS.set(_current_ids)
        try:
            with self._started(name, SpanKind.SERVER, _parent(headers)) as span:
                yield span
        finally:
            TRACE_IDS.reset(ids)
            TRACER.reset(tracer)

    def span(self, name: str) -> AbstractContextManager[Span]:
        """Return a span within the current span; see `Tracer.span`."""
        return self._started(name, SpanKind.INTERNAL, None)

    def trace_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers that name the current span; see `Tracer.trace_headers`."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return tuple((name.encode(), value.encode()) for name, value in carrier.items())

    def past_span(self, name: str, start: float) -> None:
        """Add a span that ends now; see `Tracer.past_span`."""
        began = time.time_ns() - int((time.perf_counter() - start) * 1e9)
        self._tracer.start_span(name, start_time=began).end()

    @contextmanager
    def _started(self, name: str, kind: SpanKind, parent: Context | None) -> Iterator[Span]:
        sent, span = self._tracer.start_span(name, parent, kind), Span(name)
        token = attach(trace.set_span_in_context(sent))
        try:
            yield span
        except Postponed:
            span.attributes["facet.postponed"] = True
            raise
        except BaseException as error:
            span.error = span.error or type(error).__name__  # without its message, which may name people
            raise
        finally:
            detach(token)
            _end(sent, span)


class _RareWarning(logging.Handler):
    """Passes on what OpenTelemetry logs as one warning of the service a minute."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logged = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        """Log the message, unless there was one in the last minute."""
        now = time.monotonic()
        if now - self._logged < _INTERVAL_S:
            return
        self._logged = now
        log.warning(
            "Spans may be lost; requests are not affected. OpenTelemetry reports: %s. This line comes once a "
            "minute at most.",
            record.getMessage().rstrip("."),
        )


def _resource(version: str) -> Resource:
    """Return what all spans of this process have in common. OTEL_SERVICE_NAME replaces the name."""
    own = Resource({"service.name": "facet", "service.version": version, "process.pid": os.getpid()})
    return Resource.create(own.merge(OTELResourceDetector().detect()).attributes)


def _parent(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """Return the trace that `traceparent` and `tracestate` name; an empty context without a valid one."""
    values: dict[bytes, list[str]] = {b"traceparent": [], b"tracestate": []}
    for name, value in headers:
        if name in values:
            values[name].append(value.decode("latin-1"))
    if len(values[b"traceparent"]) != 1:
        return Context()
    carrier = {"traceparent": values[b"traceparent"][0], "tracestate": ",".join(values[b"tracestate"])}
    return _PROPAGATOR.extract(carrier, Context())


def _current_ids() -> Mapping[str, str]:
    """Return the ids of the current span, in the form of the header `traceparent`."""
    context = trace.get_current_span().get_span_context()
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def _end(sent: trace.Span, span: Span) -> None:
    if sent.is_recording():  # it is sampled
        sent.update_name(span.name)
        sent.set_attributes(span.attributes)
        if span.error is not None:
            sent.set_attribute("error.type", span.error)
            sent.set_status(StatusCode.ERROR)
    sent.end()
