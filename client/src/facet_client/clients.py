"""The two clients: the methods of `Facet` wait for the answer, and those of `AsyncFacet` are coroutines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import closing, suppress
from typing import Any, Self, TypeVar

import httpx

from facet_client.base_client import BaseClient, connection_errors
from facet_client.calls import Call, Download, error_of
from facet_client.models.gallery import PersonInfo
from facet_client.retries import RetryTimer

T = TypeVar("T")


class Facet(BaseClient):
    """A client of a Facet service. Several threads may use it at the same time.

    It keeps its connections until `close`, and is a context manager that closes them.

    Args:
        url: address of the service, with the path under which a proxy serves it, if there is one.
        api_key: API key, if the service has keys.
        timeout_s: seconds to wait for each step of a request: for a part of it to be sent, for a free
            connection, and for the answer.
        retry_for_s: seconds after the first attempt in which a request that got a 503 is sent again, at the
            times that the service names. 0 for no retries.
        http: client that sends the requests, for example with certificates or a proxy of your own. It is not
            closed by `close`.

    Raises:
        ValueError: the address is not one of HTTP.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retry_for_s: float = 30.0,
        http: httpx.Client | None = None,
    ) -> None:
        super().__init__(url, api_key, timeout_s, retry_for_s)
        self._http = http or httpx.Client()
        self._is_owner = http is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._is_owner:
            self._http.close()

    def people(
        self, collection: str, *, name: str | None = None, page_size: int | None = None
    ) -> Iterator[PersonInfo]:
        """Yield all people of a collection, in the order in which they were created.

        Args:
            collection: name of the collection.
            name: only people whose name contains this text; case is ignored.
            page_size: number of people that a request reads, at most 1,000.

        Yields:
            The people.
        """
        cursor = None
        while True:
            page = self.list_people(collection, limit=page_size, cursor=cursor, name=name)
            yield from page.people
            if (cursor := page.cursor) is None:
                return

    def perform(self, route: str, build: Callable[[], Call[T]]) -> T:
        """Return the result of a call. The methods for the operations use it.

        Args:
            route: method and path pattern of the operation.
            build: returns the call.

        Raises:
            FacetError: the service refused the request, no answer arrived, or it is not understood.
        """
        call = build()
        arguments = self._prepared(call, route)
        timer = RetryTimer(self._retry_for_s)
        while True:
            content = None if call.chunks is None else call.chunks()
            with connection_errors(arguments), closing(self._send(call, arguments, content)) as response:
                if response.is_success:
                    return _received(call.read, response)
                response.read()
            error = error_of(response)
            if (wait_s := timer.wait_s(call.retry, error)) is None:
                raise error
            time.sleep(wait_s)

    def _send(
        self, call: Call[Any], arguments: dict[str, Any], content: Generator[bytes, None, None] | None
    ) -> httpx.Response:
        request = self._http.build_request(**arguments, content=content)
        return self._http.send(request, stream=isinstance(call.read, Download), follow_redirects=False)


class AsyncFacet(BaseClient):
    """A client of a Facet service whose methods are coroutines, for asyncio.

    It keeps its connections until `close`, and is an asynchronous context manager that closes them.

    Args:
        url: address of the service, with the path under which a proxy serves it, if there is one.
        api_key: API key, if the service has keys.
        timeout_s: seconds to wait for each step of a request: for a part of it to be sent, for a free
            connection, and for the answer.
        retry_for_s: seconds after the first attempt in which a request that got a 503 is sent again, at the
            times that the service names. 0 for no retries.
        http: client that sends the requests, for example with certificates or a proxy of your own. It is not
            closed by `close`.

    Raises:
        ValueError: the address is not one of HTTP.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retry_for_s: float = 30.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(url, api_key, timeout_s, retry_for_s)
        self._http = http or httpx.AsyncClient()
        self._is_owner = http is None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._is_owner:
            await self._http.aclose()

    async def people(
        self, collection: str, *, name: str | None = None, page_size: int | None = None
    ) -> AsyncIterator[PersonInfo]:
        """Yield all people of a collection, in the order in which they were created.

        Args:
            collection: name of the collection.
            name: only people whose name contains this text; case is ignored.
            page_size: number of people that a request reads, at most 1,000.

        Yields:
            The people.
        """
        cursor = None
        while True:
            page = await self.list_people(collection, limit=page_size, cursor=cursor, name=name)
            for person in page.people:
                yield person
            if (cursor := page.cursor) is None:
                return

    async def perform(self, route: str, build: Callable[[], Call[T]]) -> T:
        """Return the result of a call. The methods for the operations use it.

        Args:
            route: method and path pattern of the operation.
            build: returns the call.

        Raises:
            FacetError: the service refused the request, no answer arrived, or it is not understood.
        """
        call = build()
        arguments = await asyncio.to_thread(self._prepared, call, route)  # reads files, encodes arrays
        timer = RetryTimer(self._retry_for_s)
        while True:
            content = None if call.chunks is None else _in_thread(call.chunks())
            with connection_errors(arguments):
                response = await self._send(call, arguments, content)
                try:
                    if response.is_success:
                        return await _received_async(call.read, response)
                    await response.aread()
                finally:
                    await response.aclose()
            error = error_of(response)
            if (wait_s := timer.wait_s(call.retry, error)) is None:
                raise error
            await asyncio.sleep(wait_s)

    async def _send(
        self, call: Call[Any], arguments: dict[str, Any], content: AsyncGenerator[bytes, None] | None
    ) -> httpx.Response:
        request = self._http.build_request(**arguments, content=content)
        return await self._http.send(request, stream=isinstance(call.read, Download), follow_redirects=False)


def _received(read: Callable[[httpx.Response], T] | Download[T], response: httpx.Response) -> T:
    """Return the result for a successful response."""
    if not isinstance(read, Download):
        return read(response)
    with read.sink() as sink:
        for chunk in response.iter_bytes():
            sink.write(chunk)
        return sink.finish()


async def _received_async(read: Callable[[httpx.Response], T] | Download[T], response: httpx.Response) -> T:
    """Return the result for a successful response."""
    if not isinstance(read, Download):
        return read(response)
    with read.sink() as sink:
        async for chunk in response.aiter_bytes():
            await asyncio.to_thread(sink.write, chunk)
        return sink.finish()


async def _in_thread(chunks: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of a file, which a thread reads."""
    try:
        while chunk := await asyncio.to_thread(next, chunks, b""):
            yield chunk
    finally:
        with suppress(ValueError):  # a cancelled read goes on in its thread, and the file is closed after it
            chunks.close()
