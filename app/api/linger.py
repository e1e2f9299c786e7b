"""An answer that comes before the whole request has come still reaches its client.

A server that closes a connection on which a body is still arriving resets it, and the reset can destroy
the answer on its way. So the rest of the body is read for a moment, and thrown away, after the answer.
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = 2.0


class Linger:
    """ASGI middleware: holds back the end of an early answer until the body ends, for two seconds at most."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _body_is_coming(scope):
            await self._app(scope, receive, send)
            return
        complete = False

        async def watch() -> Message:
            nonlocal complete
            message = await receive()
            complete = complete or not message.get("more_body", False)
            return message

        async def drain() -> None:
            while not complete:
                await watch()

        async def hold(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not last or complete:
                await send(message)
                return
            await send({**message, "more_body": True})
            with suppress(TimeoutError):
                await asyncio.wait_for(drain(), _SECONDS)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, watch, hold)


def _body_is_coming(scope: Scope) -> bool:
    """A client that asked by Expect whether to send its body does not send it after an answer."""
    headers = dict(scope["headers"])
    announced = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    return announced and b"expect" not in headers
