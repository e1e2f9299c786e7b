"""How bodies may come in: no slower than allowed, and no more of them at once than memory is meant for."""

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTimeout, Overloaded


@dataclass(frozen=True)
class Pace:
    """How long a client may take, in seconds.

    `silence` without a byte, or for a request's head; `body` for all of it, of which at least `rate` bytes
    a second come once `silence` is over; `answer` to read what it is answered.
    """

    silence: float
    body: float
    rate: float
    answer: float


class Held:
    """Bytes of bodies in memory: those of requests that are not answered yet, `most` at a time."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = 0


class Intake:
    """ASGI middleware: a body that comes too slowly, or for which there is no room, ends its request.

    The time runs from when the body is asked for. Raises BodyTimeout or Overloaded where it is read.
    """

    def __init__(self, app: ASGIApp, pace: Pace, held: Held) -> None:
        self._app = app
        self._pace = pace
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._pace, self._held)
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.release()


class _Body:
    """One request's body on its way in."""

    def __init__(self, receive: Receive, pace: Pace, held: Held) -> None:
        self._receive = receive
        self._pace = pace
        self._held = held
        self._mine = 0
        self._complete = False
        self._start: float | None = None

    async def receive(self) -> Message:
        if self._complete:  # what comes now is the client's leaving, which may take as long as it will
            return await self._receive()
        message = await self._in_time()
        size = len(message.get("body", b""))
        if self._held.now + size > self._held.most:
            raise Overloaded(
                "The bodies of other requests fill the memory meant for them; try again in a moment."
            )
        self._held.now += size
        self._mine += size
        self._complete = not message.get("more_body", False)
        return message

    def release(self) -> None:
        self._held.now -= self._mine
        self._mine = 0

    async def _in_time(self) -> Message:
        pace, now = self._pace, asyncio.get_running_loop().time()
        self._start = now if self._start is None else self._start
        end, why = min(
            (now + pace.silence, f"Nothing more of the body came for {pace.silence:g} seconds."),
            (self._start + pace.body, f"The whole body did not come within {pace.body:g} seconds."),
            (
                self._start + pace.silence + self._mine / pace.rate,
                f"The body came more slowly than {pace.rate:g} bytes a second.",
            ),
        )
        try:
            async with asyncio.timeout_at(end) as limit:
                return await self._receive()
        except TimeoutError:
            if not limit.expired():
                raise
            raise BodyTimeout(why) from None
