"""Lingering close: a response sent before the whole request has arrived still reaches its client.

A server that closes a connection on which a body is still arriving resets it, and the reset can destroy the
response on its way. So the rest of the body is read and discarded for a moment after the response (nginx
calls this a lingering close).
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MAX_SECONDS = 2.0


class LingeringClose:
    """ASGI middleware: delays the end of an early response until the body ends, for at most two seconds."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _expects_body(scope):
            await self._app(scope, receive, send)
            return
        complete = False

        async def receive_and_note() -> Message:
            nonlocal complete
            message = await receive()
            complete = complete or not message.get("more_body", False)
            return message

        async def discard_rest() -> None:
            while not complete:
                await receive_and_note()

        async def send_and_linger(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not last or complete:
                await send(message)
                return
            await send({**message, "more_body": True})
            with suppress(TimeoutError):
                await asyncio.wait_for(discard_rest(), _MAX_SECONDS)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, receive_and_note, send_and_linger)


def _expects_body(scope: Scope) -> bool:
    """Return whether a body arrives. A client that sent `Expect` does not send it after a response."""
    headers = dict(scope["headers"])
    announced = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    return announced and b"expect" not in headers
