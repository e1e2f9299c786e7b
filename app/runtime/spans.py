"""Spans: the interface by which the service tells a tracer when the parts of a request begin and end.

Without a tracer, which is the default, there are no spans. `app/runtime/tracing.py` has the tracer.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

Value = str | int | float


@dataclass
class Span:
    """What a span says. It is sent after the end of the span, and can be changed until then.

    Attributes:
        name: the name.
        attributes: the attributes.
        error: type of the error with which the span ends; None if there is none.
    """

    name: str
    attributes: dict[str, Value] = field(default_factory=dict)
    error: str | None = None


class Tracer(Protocol):
    """Makes spans. Its methods may be called from any thread, return quickly and raise no errors."""

    def request(self, name: str, headers: Iterable[tuple[bytes, bytes]]) -> AbstractContextManager[Span]:
        """Return the span of a request, which lasts for a `with` block.

        In this block the tracer is the current one. The span continues the trace that the headers name.

        Args:
            name: the name of the span.
            headers: the headers of the request, with names in lower case.
        """

    def span(self, name: str) -> AbstractContextManager[Span]:
        """Return a span within the current span, which lasts for a `with` block."""

    def trace_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers that name the current span, for another process that continues the trace."""

    def past_span(self, name: str, start: float) -> None:
        """Add a span within the current span that ends now.

        Args:
            name: the name of the span.
            start: its start, as a value of `time.perf_counter()`.
        """


TRACER: ContextVar[Tracer | None] = ContextVar("tracer", default=None)
"""The tracer of the current request; None outside of a request, and without tracing."""

_NO_SPAN: AbstractContextManager[None] = nullcontext()


def span(name: str) -> AbstractContextManager[Span | None]:
    """Return a span within the current one, which lasts for a `with` block; None without tracing."""
    tracer = TRACER.get()
    return _NO_SPAN if tracer is None else tracer.span(name)


def past_span(name: str, start: float) -> None:
    """Add a span that ends now; see `Tracer.past_span`."""
    tracer = TRACER.get()
    if tracer is not None:
        tracer.past_span(name, start)


def trace_headers() -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that name the current span; none without tracing. See `Tracer.trace_headers`."""
    tracer = TRACER.get()
    return () if tracer is None else tracer.trace_headers()
