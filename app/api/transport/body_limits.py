"""Limits on request bodies: a minimum upload rate, and a maximum of memory for all bodies together."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.transport.timeouts import ClientTimeouts
from app.errors import BodyTimeout, Overloaded


class BodyMemoryBudget:
    """Bytes of the bodies of all unanswered requests, at most `limit` at a time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class BodyLimits:
    """ASGI middleware: a body that arrives too slowly, or exceeds the memory budget, ends its request.

    Time counts from the moment at which the application asks for the body. The application's `receive` raises
    BodyTimeout or Overloaded.
    """

    def __init__(self, app: ASGIApp, timeouts: ClientTimeouts, budget: BodyMemoryBudget) -> None:
        self._app = app
        self._timeouts = timeouts
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _LimitedBody(receive, self._timeouts, self._budget)
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.release()


class _LimitedBody:
    """The body of one request while it arrives."""

    def __init__(self, receive: Receive, timeouts: ClientTimeouts, budget: BodyMemoryBudget) -> None:
        self._receive = receive
        self._timeouts = timeouts
        self._budget = budget
        self._received = 0
        self._complete = False
        self._start: float | None = None

    async def receive(self) -> Message:
        if self._complete:  # what follows is the client's disconnection, which has no time limit
            return await self._receive()
        message = await self._receive_in_time()
        size = len(message.get("body", b""))
        if self._budget.used + size > self._budget.limit:
            raise Overloaded(
                "The bodies of other requests occupy all memory reserved for bodies; try again in a moment."
            )
        self._budget.used += size
        self._received += size
        self._complete = not message.get("more_body", False)
        return message

    def release(self) -> None:
        self._budget.used -= self._received
        self._received = 0

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
