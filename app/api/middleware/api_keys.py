"""API keys: if any are set, requests about pictures, models or metrics must send one of them."""

import hashlib
import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import problem_handlers
from app.errors import Unauthorized
from app.service import problems

OPEN = ("/", "/docs", "/example.jpg", "/livez", "/openapi.json", "/readyz")
"""Paths that need no key: probes, the documentation and the page. They disclose nothing."""

_OPEN_FOLDERS = ("/docs/assets/", "/problems/")

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class ApiKeys:
    """ASGI middleware: refuses a request without a valid key before its body is read.

    A key is sent as `Authorization: Bearer KEY` or as `X-API-Key: KEY`. It is compared by hash with all keys,
    in constant time.
    """

    def __init__(self, app: ASGIApp, keys: Iterable[str]) -> None:
        self._app = app
        self._hashes = [_hash(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_allowed(scope):
            await self._app(scope, receive, send)
            return
        error = Unauthorized(
            "This path needs an API key, sent as Authorization: Bearer KEY or as X-API-Key: KEY."
        )
        problem = problems.of_error(error, instance=scope["path"])
        await problem_handlers.respond(problem, _CHALLENGE, scope)(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return is_open(path) or self._has_key(Headers(scope=scope))

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return bool(sum([hmac.compare_digest(_hash(given), known) for known in self._hashes]))


def is_open(path: str) -> bool:
    """Return whether the path needs no key."""
    return path in OPEN or path.startswith(_OPEN_FOLDERS)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
