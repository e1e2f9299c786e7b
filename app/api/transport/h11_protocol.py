"""HTTP/1.1 connections: limits on their number, on the time for a request head and on reading a response.

uvicorn limits none of these. h11 limits the size of a request head (64 KiB). Refusals are problem+json too.
"""

import asyncio
import json
import re
import socket
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.api.security_headers import with_security_headers
from app.api.transport.lingering_close import LingeringConnections
from app.api.transport.timeouts import ClientTimeouts
from app.runtime.telemetry import NULL_TELEMETRY, RejectReason, Telemetry
from app.service import problems

_REFUSAL_DELAY_S = 0.5
"""Seconds that a surplus connection has to send a request: some clients expect no response before it."""

_MAX_FAULT = 200

_TLS = re.compile(rb"\x16\x03[\0-\4]")


class _Connection(h11.Connection):
    """h11's connection, which also keeps the reason why a request is invalid.

    Attributes:
        fault: the reason, empty if the request is valid.
    """

    fault = ""

    def next_event(self) -> Any:
        """Return the next event of the client.

        Raises:
            RemoteProtocolError: the client does not follow the protocol.
        """
        try:
            return super().next_event()
        except h11.RemoteProtocolError as error:
            self.fault = re.sub(r"bytearray\(b(.*)\)", r"\1", str(error))[:_MAX_FAULT]
            raise


class LimitedH11Protocol(H11Protocol):
    """uvicorn's h11 protocol with limits on the number of connections and on the time of clients.

    The state of the ASGI lifespan may have a `Telemetry` under the name `telemetry`. It receives the number
    of connections and the refusals.

    Args:
        timeouts: the timeouts for clients.
        max_connections: maximum number of open connections of the process.
        lingering: the connections of the process that are refused but not closed.
        problem_root: the path with which the types of problems begin.
        uvicorn_arguments: arguments of uvicorn's protocol.
    """

    def __init__(
        self,
        *,
        timeouts: ClientTimeouts,
        max_connections: int,
        lingering: LingeringConnections,
        problem_root: str = "",
        **uvicorn_arguments: Any,
    ) -> None:
        super().__init__(**uvicorn_arguments)
        self.conn: _Connection = _Connection(h11.SERVER)
        self._timeouts = timeouts
        self._max_connections = max_connections
        self._lingering = lingering
        self._problem_root = problem_root
        self._telemetry: Telemetry = self.app_state.get("telemetry", NULL_TELEMETRY)
        self._head_timer: asyncio.TimerHandle | None = None
        self._discard_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request head, or for a refusal if there are too many connections."""
        super().connection_made(transport)
        _send_at_once(transport)
        transport.set_write_buffer_limits(high=0)  # writing pauses as soon as the client stops reading
        self._telemetry.connections(len(self.connections))
        if len(self.connections) - len(self._lingering) > self._max_connections:
            close = partial(self._refuse_surplus, linger=False)
            self._lingering.keep(transport, _REFUSAL_DELAY_S, self._refuse_surplus, close)
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers of the connection."""
        for timer in (self._discard_timer, self._head_timer, self._write_timer):
            _cancel(timer)
        self._discard_timer = self._head_timer = self._write_timer = None
        self._lingering.forget(self.transport)
        super().connection_lost(exc)
        self._telemetry.connections(len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and start or stop the timers for the request head and the rest of a body."""
        if self.transport in self._lingering:
            if self.conn.our_state is h11.IDLE:
                self._refuse_surplus()
        elif not self.transport.is_closing():
            super().data_received(data)
            self._expect_head()
            if not self._discarding_body():
                _cancel(self._discard_timer)
                self._discard_timer = None

    def on_response_complete(self) -> None:
        """Start the timer for the next request head, or for the rest of a body that is still arriving."""
        super().on_response_complete()
        if self._discarding_body() and not self.transport.is_closing():
            self._discard_timer = self.loop.call_later(self._timeouts.read, self.transport.close)
        self._expect_head()

    def pause_writing(self) -> None:
        """Start the timer for a client that does not read its response."""
        super().pause_writing()
        self._write_timer = self._write_timer or self.loop.call_later(self._timeouts.write, self._abort_write)

    def resume_writing(self) -> None:
        """Stop the timer for a client that did not read its response."""
        _cancel(self._write_timer)
        self._write_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Respond to invalid HTTP with a problem, in place of uvicorn's plain text."""
        if _TLS.match(self.conn.trailing_data[0]):
            reason = (
                "it is TLS. The service speaks plain HTTP: use an address with http://, or a proxy for TLS"
            )
        else:
            reason = self.conn.fault or msg
        self._refuse(400, "malformed", f"The request is not valid HTTP/1.1: {reason.removesuffix('.')}.")

    def _discarding_body(self) -> bool:
        """Return whether the request is answered but its body is still arriving and being discarded."""
        answered = self.cycle is not None and self.cycle.response_complete
        return answered and self.conn.their_state is h11.SEND_BODY

    def _expect_head(self) -> None:
        """Start the timer if the connection waits for a request head, else stop it."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            _cancel(self._head_timer)
            self._head_timer = None
        elif self._head_timer is None and self.timeout_keep_alive_task is None:
            self._head_timer = self.loop.call_later(self._timeouts.read, self._head_timed_out)

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:
            detail = f"The head of the request was not complete within {self._timeouts.read:g} seconds."
            self._refuse(408, "slow-head", detail)
        else:
            self.transport.close()

    def _refuse_surplus(self, linger: bool = True) -> None:
        """Refuse a connection beyond the limit: when its request begins to arrive, or after a short time."""
        detail = f"All {self._max_connections} connections are in use. Try again in a moment."
        self._refuse(503, "connections", detail, linger)

    def _abort_write(self) -> None:
        """Close the connection of a client that does not read its response."""
        self._telemetry.rejected("slow-reader")
        self.transport.abort()

    def _refuse(self, status: int, reason: RejectReason, detail: str, linger: bool = True) -> None:
        """Send a problem without calling the application, and end the connection."""
        self._telemetry.rejected(reason)
        problem = problems.of_status(status, detail).under(self._problem_root)
        body = json.dumps(problem.model_dump(exclude_none=True)).encode()
        headers = [
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *([(b"retry-after", str(problems.RETRY_SECONDS).encode())] if status == 503 else []),
        ]
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        response = h11.Response(status_code=status, headers=with_security_headers(headers))
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        if (
            self.cycle is not None and not self.cycle.response_complete
        ):  # the application cannot respond any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if linger:
            self._lingering.close(self.transport)
        else:
            self.transport.close()


def limited_protocol(timeouts: ClientTimeouts, max_connections: int, problem_root: str = "") -> Any:
    """Return the protocol for `uvicorn.Config(http=...)`; it can be pickled for worker processes.

    Args:
        timeouts: the timeouts for clients.
        max_connections: maximum number of open connections of the process.
        problem_root: the path with which the types of problems begin.
    """
    return partial(
        LimitedH11Protocol,
        timeouts=timeouts,
        max_connections=max_connections,
        lingering=LingeringConnections(),
        problem_root=problem_root,
    )


def _send_at_once(transport: asyncio.Transport) -> None:
    """Disable Nagle's algorithm, which delays a response on a persistent connection by about 40 ms.

    asyncio disables it only if the protocol number of the socket is set, which is not the case for the
    sockets of several worker processes.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
