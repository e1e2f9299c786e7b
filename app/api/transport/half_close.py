"""Clients that stop sending while their request is in hand: those that still read, and those that have gone.

A client that has only shut down its sending side (`nc -N`, some HTTP/1.0 clients) waits for the response. A
client that has closed its connection does not. Both look the same until the service sends something: then the
system of the second one resets the connection. So the service sends the interim response 100, which HTTP/1.1
clients ignore, to a client that has waited for a moment. HTTP/1.0 has no interim responses.
"""

import select
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from app.api.transport.timer import Timer

_PROBE_S = 0.5
"""Seconds from the end of sending to the interim response, and between the looks at the connection."""


class HalfCloseProtocol(H11Protocol):
    """uvicorn's h11 protocol, which also responds to clients that have shut down their sending side.

    Args:
        uvicorn_arguments: arguments of uvicorn's protocol.
    """

    def __init__(self, **uvicorn_arguments: Any) -> None:
        super().__init__(**uvicorn_arguments)
        self._half_closed = False
        self._probed: RequestResponseCycle | None = None
        self._probe_timer = Timer(self.loop, self._probe)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer of the connection."""
        self._probe_timer.stop()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn always closes the connection
        """Keep the connection if a complete request is in hand: its client may still wait for the response.

        Returns:
            Whether the connection stays open.
        """
        cycle = self.cycle
        self._half_closed = (
            cycle is not None and not cycle.more_body and not (cycle.response_complete or cycle.disconnected)
        )
        if self._half_closed:
            self._probe_timer.start(_PROBE_S)
        return self._half_closed

    def on_response_complete(self) -> None:
        """Close the connection after the last response, if the client has stopped sending."""
        super().on_response_complete()
        if self._half_closed and self.conn.their_state is h11.IDLE:
            self.transport.close()

    def _probe(self) -> None:
        """Close the connection if its client has gone. Otherwise send something, which shows it."""
        if self.cycle.response_started or self.transport.is_closing():
            return
        if _is_reset(self.transport.get_extra_info("socket")):
            self.transport.abort()
            return
        if self.scope["http_version"] != "1.0" and self._probed is not self.cycle:
            self._probed = self.cycle
            self.transport.write(self.conn.send(h11.InformationalResponse(status_code=100, headers=[])))
        self._probe_timer.start(_PROBE_S)


def _is_reset(connection: socket.socket) -> bool:
    """Return whether the other side has reset the connection, without reading from it."""
    poll = select.poll()
    poll.register(connection.fileno(), 0)  # POLLERR and POLLHUP are always reported
    return bool(poll.poll(0))
