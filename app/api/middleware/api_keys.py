"""API keys: if any are set, requests must send one of them, except to the open paths."""

import hashlib
import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import problem_handlers
from app.errors import Unauthorized
from app.service import problems

OPEN = ("/", "/docs", "/example.jpg", "/livez", "/openapi.json", "/readyz")
"""Paths that need no key: health checks, the documentation and the page. They disclose nothing."""

_OPEN_FOLDERS = ("/docs/assets/", "/problems/")

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class ApiKeys:
    """ASGI middleware that refuses requests without a valid API key, before their bodies are read.

    Clients send a key as `Authorization: Bearer KEY` or as `X-API-Key: KEY`. Its hash is compared with the
    hashes of all keys in constant time.

    Args:
        app: the next ASGI application.
        keys: the valid keys.
    """

    def __init__(self, app: ASGIApp, keys: Iterable[str]) -> None:
        self._app = app
        self._hashes = [_hash(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application on a request with a valid key, else respond with 401."""
        if scope["type"] != "http" or self._is_allowed(scope):
            await self._app(scope, receive, send)
            return
        error = Unauthorized(
            "This path requires a valid API key. Send it as Authorization: Bearer KEY or as X-API-Key: KEY."
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
    """Return whether a path needs no API key."""
    return path in OPEN or path.startswith(_OPEN_FOLDERS)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
