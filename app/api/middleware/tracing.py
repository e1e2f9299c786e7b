"""The span of each request. The middleware is there only if the service sends traces."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.access_log import METHODS, route_of
from app.runtime.spans import Span, Tracer


class Tracing:
    """ASGI middleware that makes a span of each request, by OpenTelemetry's conventions for HTTP.

    The span has no path, query, body, header or address of the client: paths have ids of people.

    Args:
        app: the next ASGI application, which logs the request.
        tracer: makes the spans.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application on a request, within its span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = None

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        is_known = scope["method"] in METHODS
        with self._tracer.request(scope["method"] if is_known else "HTTP", scope["headers"]) as span:
            span.attributes["http.request.method"] = scope["method"] if is_known else "_OTHER"
            span.attributes["url.scheme"] = scope["scheme"]
            try:
                await self._app(scope, receive, send_and_note)
            finally:
                _complete(span, scope, status)


def _complete(span: Span, scope: Scope, status: int | None) -> None:
    """Add what is known at the end of a request.

    Args:
        span: the span of the request.
        scope: the ASGI scope of the request.
        status: the HTTP status; None if the client disconnected before the response.
    """
    if route := route_of(scope):
        span.name = f"{span.name} {route}"
        span.attributes["http.route"] = route
    problem = scope.get("state", {}).get("problem")
    if problem:
        span.attributes["facet.problem"] = problem
    if status is None:
        span.error = "disconnected"
        return
    span.attributes["http.response.status_code"] = status
    if status >= 500:  # by the conventions, an error of the client is none of the server
        span.error = problem or str(status)
