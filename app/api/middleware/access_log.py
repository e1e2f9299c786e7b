"""The outermost middleware: request ids, access log, request metrics, responses to unexpected errors."""

import logging
import re
import time
import uuid
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problem_handlers
from app.api.metrics import Metrics
from app.api.security_headers import with_security_headers
from app.errors import is_out_of_memory
from app.logs import REQUEST_ID

log = logging.getLogger(__name__)

HEADER = b"x-request-id"
"""The header with the id of a request, in requests and responses."""

DISCONNECTED = 499
"""Status in logs and metrics for a request whose client disconnected before the response (as in nginx)."""

_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
"""The methods that metrics and traces name."""

_MAX_PATH = 200

_INTERVAL_S = 60.0
"""Minimum seconds between two log lines about a lack of memory."""


class AccessLog:
    """ASGI middleware that logs and counts requests.

    The id of a request is its header `X-Request-ID` if it is valid, else a new one. The log contains neither
    the query nor the body nor the address of the client.

    Args:
        app: the next ASGI application.
        metrics: receives the request metrics.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._memory_logged = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application on a request, and log and count the request.

        Raises:
            Exception: the application failed after it had started the response.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        sent = [value for name, value in scope["headers"] if name == HEADER]
        request_id = sent[0] if len(sent) == 1 and _ID.fullmatch(sent[0]) else uuid.uuid4().hex.encode()
        status = DISCONNECTED

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = with_security_headers(message.get("headers", ()))
                message = {**message, "headers": [*headers, (HEADER, request_id)]}
            await send(message)

        token = REQUEST_ID.set(request_id.decode())
        self._metrics.request_started()
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            self._log(error)
            if status != DISCONNECTED:
                raise
            await problem_handlers.unexpected(error, scope)(scope, receive, send_with_headers)
        finally:
            self._record(scope, status, time.perf_counter() - start)
            REQUEST_ID.reset(token)

    def _log(self, error: Exception) -> None:
        """Log an unexpected error: a lack of memory once a minute and without its traceback."""
        if not is_out_of_memory(error):
            log.exception("The service failed on a request with an unexpected error.")
        elif time.monotonic() - self._memory_logged > _INTERVAL_S:
            self._memory_logged = time.monotonic()
            log.error(
                "There was not enough memory for a request (%s: %s). Give the service more memory, or lower "
                "FACE_MAX_CONCURRENT, FACE_MAX_IMAGE_PIXELS or FACE_MAX_BODY_MEMORY_MB. This line comes "
                "once a minute at most.",
                type(error).__name__,
                error,
            )

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = route_of(scope) or "other"
        self._metrics.request_finished(method, route, status, seconds)
        fields: dict[str, Any] = {
            "method": method,
            "path": quote(scope["path"])[:_MAX_PATH],
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
        }
        if problem := scope.get("state", {}).get("problem"):
            self._metrics.problem(problem)
            fields["problem"] = problem
        log.info("%s %s %d %.1f ms", method, fields["path"], status, fields["ms"], extra=fields)


def route_of(scope: Scope) -> str | None:
    """Return the path pattern of the route; None if there is none. Clients could send any number of paths."""
    return getattr(scope.get("route"), "path", None) or None
