"""What both clients share: the address, the headers, the time limits, and the exceptions of connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from facet_client._version import __version__
from facet_client.calls import Call, request_of
from facet_client.errors import ConnectionFailed, RequestTimeout
from facet_client.operations.batches import BatchOperations
from facet_client.operations.collections import CollectionOperations
from facet_client.operations.faces import FaceOperations
from facet_client.operations.people import PeopleOperations
from facet_client.operations.service import ServiceOperations

_CONNECT_TIMEOUT_S = 10.0


class BaseClient(FaceOperations, BatchOperations, PeopleOperations, CollectionOperations, ServiceOperations):
    """The operations of both clients, and how their requests begin.

    Args:
        url: address of the service.
        api_key: API key, if the service has keys.
        timeout_s: seconds to wait for each step of a request.
        retry_for_s: seconds after the first attempt in which further attempts may begin.

    Raises:
        ValueError: the address is not one of HTTP.
    """

    def __init__(self, url: str, api_key: str | None, timeout_s: float, retry_for_s: float) -> None:
        self._url = _checked(url)
        self._headers = {"User-Agent": f"facet-client/{__version__}"}
        if api_key is not None:
            self._headers["X-API-Key"] = api_key
        self._timeout_s = timeout_s
        self._retry_for_s = retry_for_s

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    def _prepared(self, call: Call[Any], route: str) -> dict[str, Any]:
        """Return the arguments of `build_request`, without the stream of the body."""
        request = request_of(call, route)
        seconds = call.timeout_s or self._timeout_s
        return request | {
            "url": f"{self._url}{request['url']}",
            "headers": self._headers | request["headers"],
            "timeout": httpx.Timeout(seconds, connect=min(seconds, _CONNECT_TIMEOUT_S)),
        }


@contextmanager
def connection_errors(arguments: dict[str, Any]) -> Iterator[None]:
    """Raise the exceptions of httpx as those of the client.

    Raises:
        ConnectionFailed: no complete answer arrived.
        RequestTimeout: no answer arrived in time.
    """
    what = f"{arguments['method']} {arguments['url']}"
    try:
        yield
    except httpx.TimeoutException as error:
        raise RequestTimeout(f"{what} was not answered in time ({type(error).__name__}).") from error
    except httpx.RequestError as error:
        reason = str(error) or type(error).__name__
        raise ConnectionFailed(f"{what} was not answered: {reason}.") from error


def _checked(url: str) -> str:
    """Return an address without a slash at its end.

    Raises:
        ValueError: it is not an address of HTTP, or has a query or a fragment.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"The address {url!r} of the service is invalid: {error}.") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise ValueError(
            f"The address {url!r} of the service is invalid. Pass one such as http://127.0.0.1:8000 or "
            "https://example.com/facet."
        )
    return url.rstrip("/")
