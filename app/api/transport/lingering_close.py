"""The end of connections whose client may still be sending.

If a server closes a connection with unread bytes, the connection is reset, and the reset can destroy a
response that the client has not read yet. So the service only stops sending. It reads and discards what
arrives until the client closes the connection, or for a short time. nginx calls this a lingering close.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

MAX_LINGER_S = 2.0
"""Maximum seconds from a response to the end of the connection."""

MAX_LINGERING_CONNECTIONS = 384
"""Maximum number of these connections. With 512 others they need fewer than 1024 file descriptors."""


class _Kept(NamedTuple):
    timer: asyncio.TimerHandle
    close: Callable[[], None]


class LingeringConnections:
    """The connections of a process that are refused but not closed. Their protocols discard what arrives.

    There are at most 384. One more closes the one that waits longest.
    """

    def __init__(self) -> None:
        self._kept: dict[asyncio.Transport, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, transport: asyncio.Transport) -> bool:
        return transport in self._kept

    def keep(
        self,
        transport: asyncio.Transport,
        seconds: float,
        then: Callable[[], None],
        close: Callable[[], None],
    ) -> None:
        """Keep a connection for a time.

        Args:
            transport: the connection. If it is kept already, the new time replaces the old one.
            seconds: the time.
            then: what to do after it.
            close: what to do if the connection has to be closed before.
        """
        self.forget(transport)
        if len(self._kept) >= MAX_LINGERING_CONNECTIONS:
            oldest = next(iter(self._kept))
            close_oldest = self._kept[oldest].close
            self.forget(oldest)
            close_oldest()
        timer = asyncio.get_running_loop().call_later(seconds, then)
        self._kept[transport] = _Kept(timer, close)

    def close(self, transport: asyncio.Transport) -> None:
        """End a connection after its last response."""
        if not transport.is_closing():
            transport.write_eof()
            self.keep(transport, MAX_LINGER_S, transport.close, transport.close)

    def forget(self, transport: asyncio.Transport) -> None:
        """Forget a connection that is closed, and stop its timer."""
        kept = self._kept.pop(transport, None)
        if kept is not None:
            kept.timer.cancel()
