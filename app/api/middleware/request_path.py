"""ASGI middleware: the path of a request, behind a proxy that serves the service under a path of its own."""

import re
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

HEADER = "x-forwarded-prefix"
"""The header in which a proxy names the path under which it serves the service."""

_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")
_MAX_PREFIX = 256
_AUTHORITY = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class RequestPath:
    """ASGI middleware that completes the path of a request by the root path of the service.

    The root path is the path under which a proxy serves the service, for example `/facet`. It comes from the
    settings or, if they have none, from the header `X-Forwarded-Prefix` of a trusted proxy. The proxy may
    remove it from the paths of requests or pass it on. Afterwards `path` begins with `root_path`, as ASGI
    requires.

    A request line with a complete address, as clients send it to a proxy, gets its path too.

    Args:
        app: the next ASGI application.
        root_path: the root path of the settings; empty if it is not set.
        trusted_proxies: addresses of the proxies whose header is used.
    """

    def __init__(
        self, app: ASGIApp, root_path: str = "", trusted_proxies: Collection[IPv4Network | IPv6Network] = ()
    ) -> None:
        self._app = app
        self._root = root_path
        self._trusted = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application on a request with a complete path."""
        if scope["type"] == "http":
            root = self._root or self._forwarded(scope) or scope.get("root_path", "")
            scope["root_path"] = root
            scope["path"] = _under(root, _path_of(scope))
        await self._app(scope, receive, send)

    def _forwarded(self, scope: Scope) -> str:
        """Return the root path that a trusted proxy names; empty if there is none, or if it is not a path.

        Each of several proxies in a row adds its own part.
        """
        values = Headers(scope=scope).getlist(HEADER)
        if not values or not self._is_trusted(scope):
            return ""
        parts = [part.strip() for value in values for part in value.split(",")]
        root = "".join(part.removesuffix("/") for part in parts)
        valid = all(part == "/" or _PREFIX.fullmatch(part.removesuffix("/")) for part in parts)
        return root if valid and len(root) <= _MAX_PREFIX else ""

    def _is_trusted(self, scope: Scope) -> bool:
        try:
            address = ip_address((scope.get("client") or ("",))[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._trusted)


class IgnoreTrailingSlash:
    """ASGI middleware that answers `/detect/` as `/detect`.

    A redirect instead would name the address of the service behind the proxy, and clients would have to send
    the body twice.

    Args:
        app: the next ASGI application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application on a request without a slash at the end of its path."""
        if scope["type"] == "http" and scope["path"].endswith("/"):
            scope["path"] = _under(scope.get("root_path", ""), scope["path"].rstrip("/") or "/")
        await self._app(scope, receive, send)


def _path_of(scope: Scope) -> str:
    path: str = scope["path"]
    if path.startswith("/"):
        return path
    if path == "*":  # OPTIONS * asks about the service as a whole
        return "/"
    raw: bytes = scope.get("raw_path") or b""
    start = _AUTHORITY.match(raw)
    return unquote(raw[start.end() :].decode("ascii")) or "/" if start else path


def _under(root: str, path: str) -> str:
    if not root or not path.startswith("/") or path.startswith(f"{root}/"):
        return path
    return f"{root}/" if path == root else root + path
