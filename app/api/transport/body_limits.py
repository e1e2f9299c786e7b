"""Bodies of requests and responses: timeouts, a minimum upload rate, and memory budgets for all bodies.

If a server closes a connection while a body is still arriving, the connection is reset, and the reset can
destroy a response that the client has not read yet. After an early response the rest of the body is therefore
read and discarded for a short time. nginx calls this a lingering close.
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.transport.lingering_close import MAX_LINGER_S
from app.api.transport.memory_budget import Client, MemoryBudget
from app.api.transport.response_body import ResponseBody
from app.api.transport.timeouts import ClientTimeouts
from app.errors import BodyTimeout, Overloaded

_MAX_LINGER_S = MAX_LINGER_S


class BodyLimits:
    """ASGI middleware that limits the time and the memory of bodies.

    Time counts from the first call of `receive` by the application. For a body that arrives too slowly,
    `receive` raises BodyTimeout; for a body that exceeds the memory budget, Overloaded. If a response ends
    before the body of its request, the end of the response is delayed until the body ends, but at most two
    seconds. A response that exceeds its memory budget becomes a problem.

    Args:
        app: the next ASGI application.
        timeouts: the timeouts for clients.
        requests: the memory budget for the bodies of all requests, until their responses begin.
        responses: the memory budget for the bodies of all responses, until their clients have read them.
    """

    def __init__(
        self, app: ASGIApp, timeouts: ClientTimeouts, requests: MemoryBudget, responses: MemoryBudget
    ) -> None:
        self._app = app
        self._timeouts = timeouts
        self._requests = requests
        self._responses = responses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application on a request with limits on its bodies."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client: Client | None = scope.get("state", {}).get("connection")
        body = _Body(receive, self._timeouts, self._requests, client)
        send = body.lingering(send) if _expects_body(scope) else send
        response = ResponseBody(scope, send, self._responses, client)

        async def send_limited(message: Message) -> None:
            if message["type"] == "http.response.start":
                body.release()
            await response.send(message)

        try:
            await self._app(scope, body.receive, send_limited)
        finally:
            body.release()
            response.release()


class _Body:
    """The body of one request while it arrives."""

    def __init__(
        self, receive: Receive, timeouts: ClientTimeouts, budget: MemoryBudget, client: Client | None
    ) -> None:
        self._receive = receive
        self._timeouts = timeouts
        self._client = client
        self._share = budget.share(client)
        self._received = 0
        self._complete = False
        self._start: float | None = None

    async def receive(self) -> Message:
        """Return the next message of the client.

        Raises:
            BodyTimeout: the body arrives too slowly.
            Overloaded: the body exceeds the memory budget.
        """
        if self._complete:  # the next message is the disconnection of the client, which has no time limit
            return await self._receive()
        message = await self._receive_in_time()
        if message["type"] == "http.disconnect" and self._client is not None and self._client.gave_way:
            raise BodyTimeout("The body arrived more slowly than those of others.")
        self._complete = not message.get("more_body", False)
        size = len(message.get("body", b""))
        if not self._share.take(size):
            raise Overloaded(
                "The memory for request bodies is in use by other requests. Try again in a moment."
            )
        self._received += size
        return message

    def release(self) -> None:
        """Return the memory of the body to the budget."""
        self._share.release()

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
    """Return whether the client sends a body. After `Expect`, it sends none once it has a response."""
    headers = dict(scope["headers"])
    announced = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    return announced and b"expect" not in headers
