"""Request bodies: a minimum upload rate, a memory budget for all bodies together, and the lingering close.

A server that closes a connection on which a body is still arriving resets it, and the reset can destroy a
response on its way. So after an early response the rest of the body is read and discarded for a moment (nginx
calls this a lingering close).
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.transport.timeouts import ClientTimeouts
from app.errors import BodyTimeout, Overloaded

_MAX_LINGER_S = 2.0


class BodyMemoryBudget:
    """Bytes of the bodies of all unanswered requests, at most `limit` at a time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class BodyLimits:
    """ASGI middleware: a body that arrives too slowly, or exceeds the memory budget, ends its request.

    Time counts from the moment at which the application asks for the body. The application's `receive` raises
    BodyTimeout or Overloaded. If a response ends before its request's body, its end is delayed until the body
    ends, for at most two seconds.
    """

    def __init__(self, app: ASGIApp, timeouts: ClientTimeouts, budget: BodyMemoryBudget) -> None:
        self._app = app
        self._timeouts = timeouts
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._timeouts, self._budget)
        try:
            await self._app(scope, body.receive, body.lingering(send) if _expects_body(scope) else send)
        finally:
            body.release()


class _Body:
    """The body of one request while it arrives."""

    def __init__(self, receive: Receive, timeouts: ClientTimeouts, budget: BodyMemoryBudget) -> None:
        self._receive = receive
        self._timeouts = timeouts
        self._budget = budget
        self._received = 0
        self._complete = False
        self._start: float | None = None

    async def receive(self) -> Message:
        """Return the next message within the limits. Raises BodyTimeout or Overloaded."""
        if self._complete:  # what follows is the client's disconnection, which has no time limit
            return await self._receive()
        message = await self._receive_in_time()
        self._complete = not message.get("more_body", False)
        size = len(message.get("body", b""))
        if self._budget.used + size > self._budget.limit:
            raise Overloaded(
                "The bodies of other requests occupy all memory reserved for bodies; try again in a moment."
            )
        self._budget.used += size
        self._received += size
        return message

    def release(self) -> None:
        """Return the body's memory to the budget."""
        self._budget.used -= self._received
        self._received = 0

    def lingering(self, send: Send) -> Send:
        """Return a `send` that delays the end of the response until the body ends."""

        async def send_and_linger(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not last or self._complete:
                await send(message)
                return
            await send({**message, "more_body": True})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._discard_rest(), _MAX_LINGER_S)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        return send_and_linger

    async def _discard_rest(self) -> None:
        while not self._complete:
            message = await self._receive()
            self._complete = not message.get("more_body", False)

    async def _receive_in_time(self) -> Message:
        timeouts, now = self._timeouts, asyncio.get_running_loop().time()
        self._start = now if self._start is None else self._start
        deadline, reason = min(
            (now + timeouts.read, f"No byte of the body arrived for {timeouts.read:g} seconds."),
            (self._start + timeouts.body, f"The body was not complete within {timeouts.body:g} seconds."),
            (
                self._start + timeouts.read + self._received / timeouts.min_body_rate,
                f"The body arrived more slowly than {timeouts.min_body_rate:g} bytes per second.",
            ),
        )
        try:
            async with asyncio.timeout_at(deadline) as limit:
                return await self._receive()
        except TimeoutError:
            if not limit.expired():
                raise
            raise BodyTimeout(reason) from None


def _expects_body(scope: Scope) -> bool:
    """Return whether a body arrives. A client that sent `Expect` does not send it after a response."""
    headers = dict(scope["headers"])
    announced = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    return announced and b"expect" not in headers
