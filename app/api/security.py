"""API keys: where the service has some, an answer about pictures, models or metrics needs one of them."""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import problems
from app.errors import Unauthorized

OPEN = ("/", "/docs", "/example.jpg", "/livez", "/openapi.json", "/readyz")
"""Addresses that answer without a key: probes, and what shows how to ask. They tell nothing of anyone."""

_OPEN_FOLDERS = ("/docs/assets/", "/problems/")

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Keys:
    """ASGI middleware: refuses what brings none of the keys, before its body is read.

    A key comes as `Authorization: Bearer KEY` or as `X-API-Key: KEY`. Keys are compared by their hashes, all
    of them and in constant time. Without keys everything is open.
    """

    def __init__(self, app: ASGIApp, keys: Iterable[str]) -> None:
        self._app = app
        self._hashes = [_hash(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._hashes or self._may_pass(scope):
            await self._app(scope, receive, send)
            return
        error = Unauthorized(
            "This address needs one of the service's keys, as Authorization: Bearer KEY or as X-API-Key: KEY."
        )
        answer = problems.respond(problems.of_error(error, instance=scope["path"]), _CHALLENGE, scope)
        await answer(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return is_open(path) or self._knows(Headers(scope=scope))

    def _knows(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return bool(sum([hmac.compare_digest(_hash(given), known) for known in self._hashes]))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address to listen on."""
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host.lower() == "localhost"


def is_open(path: str) -> bool:
    """Whether the address answers without a key."""
    return path in OPEN or path.startswith(_OPEN_FOLDERS)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
