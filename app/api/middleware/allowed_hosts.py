"""Allowed hosts: a web page cannot read answers of the service by DNS rebinding.

The page of an attacker can point its own host name to 127.0.0.1. To the browser the service then has the same
origin as the page. Its requests still name the host of the page, so the service refuses host names that it
does not know. An IP address or localhost cannot be rebound.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import problem_handlers
from app.service import problems

ANY = "*"
"""The name that allows every host."""

_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]+)(:\d*)?")
_MAX_SHOWN = 100


class AllowedHosts:
    """ASGI middleware that refuses requests to host names that are not allowed, before their bodies are read.

    Ports are ignored. IP addresses and localhost are always allowed. A request of HTTP/1.0 needs no header
    `Host`; browsers always send one.

    Args:
        app: the next ASGI application.
        hosts: the allowed names in lower case. `*.example.org` allows all names below example.org.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(hosts)
        self._suffixes = tuple(host.removeprefix("*") for host in hosts if host.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application on a request to an allowed host, else respond with 421."""
        if scope["type"] != "http" or self._is_allowed(scope):
            await self._app(scope, receive, send)
            return
        given = ", ".join(Headers(scope=scope).getlist("host"))
        detail = (
            f"The host {given[:_MAX_SHOWN]!r} is not an allowed name of this service. Use its IP address, or "
            "add the name to the setting FACE_ALLOWED_HOSTS."
        )
        problem = problems.of_status(421, detail, scope["path"])
        await problem_handlers.respond(problem, None, scope)(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        values = Headers(scope=scope).getlist("host")
        if not values:
            return str(scope["http_version"]) == "1.0"
        match = _HOST.fullmatch(values[0].strip())
        if len(values) > 1 or match is None:
            return False
        host = match[1].lower().removesuffix(".")
        named = host == "localhost" or host in self._names or host.endswith(self._suffixes)
        return named or _is_address(host)


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(host.strip("[]")))
    return False
