"""Connections: how many there may be, and how long a client may take for a request's head and for an answer.

uvicorn bounds none of these; h11 bounds a head's bytes (64 KiB). Everything said here is problem+json, too.
"""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.api import headers, problems
from app.api.intake import Pace


class Watch(Protocol):
    """Told of connections. Never raises."""

    def connections(self, count: int) -> None: ...

    def refused(self, reason: str) -> None: ...


class Connection(H11Protocol):
    """uvicorn's protocol on h11, with a bound on connections and on a client's patience.

    The lifespan's state may hold a `Watch` by the name of `watch`.
    """

    def __init__(self, *, pace: Pace, most: int, **given: Any) -> None:
        super().__init__(**given)
        self._pace = pace
        self._most = most
        self._watch: Watch | None = self.app_state.get("watch")
        self._head_timer: asyncio.TimerHandle | None = None
        self._rest_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that any unread answer is heard of
        self._tell(lambda watch: watch.connections(len(self.connections)))
        if len(self.connections) > self._most:
            self._refuse(
                503, "connections", f"All {self._most} connections are taken; try again in a moment."
            )
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._rest_timer)
        self._rest_timer = None
        _cancel(self._head_timer)
        self._head_timer = None
        _cancel(self._answer_timer)
        self._answer_timer = None
        super().connection_lost(exc)
        self._tell(lambda watch: watch.connections(len(self.connections)))

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
            self._expect_head()
            if not self._rest_is_coming():
                _cancel(self._rest_timer)
                self._rest_timer = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._rest_is_coming() and not self.transport.is_closing():
            self._rest_timer = self.loop.call_later(self._pace.silence, self.transport.close)
        self._expect_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._answer_timer = self._answer_timer or self.loop.call_later(self._pace.answer, self._give_up)

    def resume_writing(self) -> None:
        _cancel(self._answer_timer)
        self._answer_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Where uvicorn answers in plain text."""
        self._refuse(400, "malformed", f"{msg.removesuffix('.')}: it is not understood as HTTP/1.1.")

    def _rest_is_coming(self) -> bool:
        """Whether a body is answered that has not come whole; what is left of it is thrown away."""
        answered = self.cycle is not None and self.cycle.response_complete
        return answered and self.conn.their_state is h11.SEND_BODY

    def _expect_head(self) -> None:
        """Sets the timer where a request's head is to come, and stops it where one has come."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            _cancel(self._head_timer)
            self._head_timer = None
        elif self._head_timer is None and self.timeout_keep_alive_task is None:
            self._head_timer = self.loop.call_later(self._pace.silence, self._no_head)

    def _no_head(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:
            detail = f"The request's head did not come within {self._pace.silence:g} seconds."
            self._refuse(408, "slow-head", detail)
        else:
            self.transport.close()

    def _give_up(self) -> None:
        """The client does not read its answer."""
        self._tell(lambda watch: watch.refused("slow-reader"))
        self.transport.abort()

    def _refuse(self, status: int, reason: str, detail: str) -> None:
        """Answers without the application, and closes."""
        self._tell(lambda watch: watch.refused(reason))
        problem = problems.of_status(status, detail)
        body = json.dumps(problem.model_dump(exclude_none=True)).encode()
        given = [
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *([(b"retry-after", str(problems.RETRY_SECONDS).encode())] if status == 503 else []),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = h11.Response(status_code=status, headers=headers.careful(given))
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _tell(self, what: Callable[[Watch], None]) -> None:
        if self._watch is not None:
            what(self._watch)


def protocol(pace: Pace, most: int) -> Any:
    """What `uvicorn.Config(http=...)` takes. It can be pickled, for workers."""
    return partial(Connection, pace=pace, most=most)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
