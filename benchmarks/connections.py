"""Connections of the load generators: HTTP/1.1 with h11, which comes with the service.

A complete HTTP client would take CPU time from a service on the same machine, and the requirements of the
service do not have one.
"""

import asyncio
from types import TracebackType
from urllib.parse import urlsplit

import h11

from benchmarks.pictures import Ask

_TIMEOUT_S = 120.0
_READ_BYTES = 1 << 16


class Connections:
    """Connections to a service, which are kept open between requests. There are as many as are in use.

    Args:
        url: address of the service.
    """

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname or "127.0.0.1", place.port or 80
        self._idle: list[_Connection] = []

    async def __aenter__(self) -> "Connections":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._idle:
            connection.close()

    async def send(self, ask: Ask) -> int:
        """Return the status of the response to a request; 0 if no response arrives."""
        connection = None
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                connection = await self._take()
                status = await connection.post(ask)
        except (OSError, TimeoutError, h11.RemoteProtocolError):
            if connection is not None:
                connection.close()
            return 0
        if connection.reusable():
            self._idle.append(connection)
        else:
            connection.close()
        return status

    async def _take(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
            connection.close()
        return _Connection(self._host, *await asyncio.open_connection(self._host, self._port))


class _Connection:
    def __init__(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host, self._reader, self._writer = host, reader, writer
        self._state = h11.Connection(h11.CLIENT)

    @property
    def closed(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        self._writer.close()

    def reusable(self) -> bool:
        """Return whether another request may follow, and prepare for it."""
        if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
            return False
        self._state.start_next_cycle()
        return True

    async def post(self, ask: Ask) -> int:
        headers = [
            ("Host", self._host),
            ("Content-Type", ask.content_type),
            ("Content-Length", str(len(ask.body))),
        ]
        request = h11.Request(method="POST", target=ask.path, headers=headers)
        for part in (request, h11.Data(ask.body), h11.EndOfMessage()):
            self._writer.write(self._state.send(part) or b"")
        status = 0
        while True:
            event = self._state.next_event()
            if event is h11.NEED_DATA:
                self._state.receive_data(await self._reader.read(_READ_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.EndOfMessage):
                return status
            elif isinstance(event, h11.ConnectionClosed):
                return 0
