"""HTTP/1.1 connections: limits on their number, on the time for a request head and on reading a response.

uvicorn limits none of these. Refusals are problem+json too.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import h11

from app.api.transport.connection_table import ConnectionTable, Network
from app.api.transport.h11_connection import H11Connection
from app.api.transport.half_close import HalfCloseProtocol
from app.api.transport.lingering_close import LingeringConnections
from app.api.transport.recent_bytes import RecentBytes
from app.api.transport.refusals import refusal
from app.api.transport.sockets import send_at_once
from app.api.transport.timeouts import ClientTimeouts
from app.api.transport.timer import Timer
from app.errors import BodyTimeout
from app.runtime.telemetry import NULL_TELEMETRY, RejectReason, Telemetry
from app.service import problems

_REFUSAL_DELAY_S = 0.5
"""Seconds that a surplus connection has to send a request: some clients expect no response before it."""

_READ_SIZE = 64 << 10
"""Maximum bytes per read of heads and chunks. It bounds the time for which they occupy the event loop."""

_PLAIN_READ_SIZE = 256 << 10
"""Maximum bytes per read of a body with Content-Length, which takes hardly any time to parse."""


class LimitedH11Protocol(HalfCloseProtocol):
    """uvicorn's h11 protocol with limits on the number of connections and on the time of clients.

    The state of the ASGI lifespan may have a `Telemetry` under the name `telemetry`. It receives the number
    of connections and the refusals. The state of each request has the protocol under the name `connection`.

    Args:
        timeouts: the timeouts for clients.
        table: the connections of the process that are in use.
        lingering: the connections of the process that are refused but not closed.
        problem_root: the path with which the types of problems begin.
        uvicorn_arguments: arguments of uvicorn's protocol.

    Attributes:
        recent: the bytes that the client has sent or read lately.
        gave_way: whether the connection ends because other clients need its place or its memory.
    """

    def __init__(
        self,
        *,
        timeouts: ClientTimeouts,
        table: ConnectionTable,
        lingering: LingeringConnections,
        problem_root: str = "",
        **uvicorn_arguments: Any,
    ) -> None:
        super().__init__(**uvicorn_arguments)
        self.conn: H11Connection = H11Connection()
        self.app_state = {**self.app_state, "connection": self}
        self.recent = RecentBytes(self.loop.time())
        self.gave_way = False
        self._timeouts = timeouts
        self._table = table
        self._lingering = lingering
        self._problem_root = problem_root
        self._telemetry: Telemetry = self.app_state.get("telemetry", NULL_TELEMETRY)
        self._owner = ""
        self._head_timer = Timer(self.loop, self._head_timed_out)
        self._discard_timer = Timer(self.loop, self._close)
        self._write_timer = Timer(self.loop, self._abort_write)

    @property
    def idle(self) -> bool:
        """Whether the connection waits for a request head."""
        return self.conn.their_state is h11.IDLE and not self.flow.write_paused

    @property
    def awaits_client(self) -> bool:
        """Whether the service waits for the client: for a head, a body, or the reading of a response."""
        return self.flow.write_paused or self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request head, or for a refusal if there are too many connections."""
        super().connection_made(transport)
        send_at_once(transport)
        transport.max_size = _READ_SIZE  # type: ignore[attr-defined]
        transport.set_write_buffer_limits(high=0)  # writing pauses as soon as the client stops reading
        self._telemetry.connections(len(self.connections))
        self._owner = self._table.owner_of(self.client[0] if self.client else "")
        if self._table.enter(self, self._owner):
            self._expect_head()
        else:
            close = partial(self._refuse_surplus, linger=False)
            self._lingering.keep(transport, _REFUSAL_DELAY_S, self._refuse_surplus, close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers of the connection."""
        for timer in (self._discard_timer, self._head_timer, self._write_timer):
            timer.stop()
        self._lingering.forget(self.transport)
        self._table.leave(self)
        super().connection_lost(exc)
        self._telemetry.connections(len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and start or stop the timers for the request head and the rest of a body."""
        if self.transport in self._lingering:
            if self.conn.our_state is not h11.IDLE:  # the connection is refused
                return
            if not self._table.displace(self, self._owner):
                self._refuse_surplus()
                return
            self._lingering.forget(self.transport)
        if not self.transport.is_closing():
            self.recent.add(len(data), self.loop.time())
            super().data_received(data)
            plain = self.conn.their_state is h11.SEND_BODY and not self.conn.chunked
            self.transport.max_size = _PLAIN_READ_SIZE if plain else _READ_SIZE  # type: ignore[attr-defined]
            self._expect_head()
            if not self._discarding_body():
                self._discard_timer.stop()

    def on_response_complete(self) -> None:
        """Start the timer for the next request head, or for the rest of a body that is still arriving."""
        super().on_response_complete()
        if self._discarding_body() and not self.transport.is_closing():
            self._discard_timer.start(self._timeouts.read)
        if not self.flow.write_paused:
            self._write_timer.stop()
        self._expect_head()

    def pause_writing(self) -> None:
        """Start the timer for a client that does not read its response."""
        super().pause_writing()
        self._write_timer.start(self._timeouts.write)

    def resume_writing(self) -> None:
        """Stop the timer for a client that did not read its response, if it has now read all of it."""
        if self.cycle is None or self.cycle.response_complete:
            self._write_timer.stop()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Respond to invalid HTTP with a problem, in place of uvicorn's plain text."""
        reason = (self.conn.fault or msg).removesuffix(".")
        detail = f"The request is not valid HTTP/1.1: {reason}."
        self._refuse(problems.of_status(400, detail), "malformed")

    def give_way(self) -> None:
        """End what the client is waited for, because other clients need its connection or its memory."""
        self.gave_way = True
        self._table.leave(self)
        if self.flow.write_paused:
            self._abort_write()
        elif self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            detail = "The head of the request was not complete when other clients needed the connection."
            self._refuse(problems.of_status(408, detail), "slow-head")
        elif self.conn.their_state is h11.SEND_BODY and not self.cycle.response_complete:
            problem = problems.of_error(BodyTimeout("The body arrived more slowly than those of others."))
            self._refuse(problem, "slow-body")
        else:
            self._telemetry.rejected("idle")
            self.transport.close()

    def _discarding_body(self) -> bool:
        """Return whether the request is answered but its body is still arriving and being discarded."""
        answered = self.cycle is not None and self.cycle.response_complete
        return answered and self.conn.their_state is h11.SEND_BODY

    def _expect_head(self) -> None:
        """Start the timer if the connection waits for a request head, else stop it."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._head_timer.stop()
        elif self.timeout_keep_alive_task is None:
            self._head_timer.start(self._timeouts.read)

    def _head_timed_out(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:
            detail = f"The head of the request was not complete within {self._timeouts.read:g} seconds."
            self._refuse(problems.of_status(408, detail), "slow-head")
        else:
            self.transport.close()

    def _refuse_surplus(self, linger: bool = True) -> None:
        """Refuse a connection beyond the limit: when its request begins to arrive, or after a short time."""
        if self._table.exhausted_by(self._owner):
            detail = f"All {self._table.per_client} connections that one client may have are in use."
        else:
            detail = f"All {self._table.limit} connections are in use."
        self._refuse(problems.of_status(503, f"{detail} Try again in a moment."), "connections", linger)

    def _abort_write(self) -> None:
        """Close the connection of a client that does not read its response."""
        self._telemetry.rejected("slow-reader")
        self.transport.abort()

    def _close(self) -> None:
        self.transport.close()

    def _refuse(self, problem: problems.Problem, reason: RejectReason, linger: bool = True) -> None:
        """Send a problem without calling the application, and end the connection."""
        self._telemetry.rejected(reason)
        self._table.leave(self)
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        for event in refusal(problem, self._problem_root, self.conn.method):
            self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            # The application cannot respond any more.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if linger:
            self._lingering.close(self.transport)
        else:
            self.transport.close()


def limited_protocol(
    timeouts: ClientTimeouts,
    max_connections: int,
    problem_root: str = "",
    per_client: int | None = None,
    proxies: Sequence[Network] = (),
) -> Any:
    """Return the protocol for `uvicorn.Config(http=...)`; it can be pickled for worker processes.

    Args:
        timeouts: the timeouts for clients.
        max_connections: maximum number of open connections of the process.
        problem_root: the path with which the types of problems begin.
        per_client: maximum number of connections of one client; None sets no limit.
        proxies: addresses that are no clients themselves.
    """
    return partial(
        LimitedH11Protocol,
        timeouts=timeouts,
        table=ConnectionTable(max_connections, per_client, proxies),
        lingering=LingeringConnections(),
        problem_root=problem_root,
    )
