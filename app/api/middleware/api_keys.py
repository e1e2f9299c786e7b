"""API keys: if any are set, requests must send one of them, except to the open paths."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import problem_handlers
from app.errors import Unauthorized
from app.keys import AcceptedKeys
from app.service import problems

OPEN = ("/", "/docs", "/example.jpg", "/livez", "/openapi.json", "/readyz")
"""Paths that need no key: health checks, the documentation and the console. They disclose nothing."""

_OPEN_FOLDERS = ("/console/", "/docs/assets/", "/problems/")

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class ApiKeys:
    """ASGI middleware that refuses requests without a valid API key, before their bodies are read.

    Clients send a key as `Authorization: Bearer KEY` or as `X-API-Key: KEY`.

    Args:
        app: the next ASGI application.
        keys: the valid keys. Each request uses the keys that are valid when it arrives.
    """

    def __init__(self, app: ASGIApp, keys: AcceptedKeys) -> None:
        self._app = app
        self._keys = keys

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
        return self._keys.accepts(given)


def is_open(path: str) -> bool:
    """Return whether a path needs no API key."""
    return path in OPEN or path.startswith(_OPEN_FOLDERS)
