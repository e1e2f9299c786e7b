"""Every request gets an id, a line in the log, its place in the metrics, and an answer come what may."""

import logging
import re
import time
import uuid
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import headers, problems
from app.api.metrics import Metrics
from app.logs import REQUEST_ID

log = logging.getLogger(__name__)

HEADER = b"x-request-id"

GONE = 499
"""Stands in logs and metrics for a request whose client left before it was answered."""

_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_LONGEST_PATH = 200


class Access:
    """ASGI middleware, the outermost. `X-Request-ID` is taken from the request where it is fit, else made.

    The log has neither query nor body nor the caller's address.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        sent = [value for name, value in scope["headers"] if name == HEADER]
        name = sent[0] if len(sent) == 1 and _ID.fullmatch(sent[0]) else uuid.uuid4().hex.encode()
        status = GONE

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = headers.careful(message.get("headers", ()))
                message = {**message, "headers": [*given, (HEADER, name)]}
            await send(message)

        token = REQUEST_ID.set(name.decode())
        self._metrics.begin()
        try:
            await self._app(scope, receive, tell)
        except Exception:
            log.exception("the service failed on a request")
            if status != GONE:
                raise
            await problems.unforeseen(scope)(scope, receive, tell)
        finally:
            self._note(scope, status, time.perf_counter() - start)
            REQUEST_ID.reset(token)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = _route(scope)
        self._metrics.end(method, route, status, seconds)
        fields: dict[str, Any] = {
            "method": method,
            "path": quote(scope["path"])[:_LONGEST_PATH],
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
        }
        if problem := scope.get("state", {}).get("problem"):
            self._metrics.problem(problem)
            fields["problem"] = problem
        log.info("%s %s %d %.1f ms", method, fields["path"], status, fields["ms"], extra=fields)


def _route(scope: Scope) -> str:
    """The pattern of the address, so that no caller can make new ones."""
    return getattr(scope.get("route"), "path", None) or "other"
