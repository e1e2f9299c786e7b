"""The body of one response: written in slices, within a memory budget for all responses."""

import asyncio

from starlette.types import Message, Scope, Send

from app.api.transport.memory_budget import Client, MemoryBudget
from app.errors import Overloaded
from app.service import problems

_SLICE = 256 << 10
"""Bytes per write. The event loop copies what the client has not read yet."""

_FREE = 64 << 10
"""Size of a body that the budget does not count. The buffer of the socket usually takes it at once."""


class ResponseBody:
    """Sends a response, or a problem in its place if the budget has no room for its body.

    Args:
        scope: the ASGI scope of the request.
        send: sends the messages.
        budget: the budget.
        client: the connection of the client, if it can give way.
    """

    def __init__(self, scope: Scope, send: Send, budget: MemoryBudget, client: Client | None) -> None:
        self._scope = scope
        self._send = send
        self._share = budget.share(client)
        self._client = client
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        """Send a message of the application. The start of the response is sent together with its body."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        body = message.get("body", b"")
        if len(body) > _FREE and self._start is not None and not self._share.take(len(body)):
            self._start, message = self._refusal(len(body))
            body = message["body"]
        if self._start is not None:
            await self._send(self._start)
            self._start = None
        rest = memoryview(body)
        while len(rest) > _SLICE:
            await self._send({"type": "http.response.body", "body": rest[:_SLICE], "more_body": True})
            self._read(_SLICE)
            rest = rest[_SLICE:]
        await self._send({**message, "body": bytes(rest) if len(rest) < len(body) else body})

    def release(self) -> None:
        """Return the memory of the body to the budget."""
        self._share.release()

    def _read(self, count: int) -> None:
        if self._client is not None:
            self._client.recent.add(count, asyncio.get_running_loop().time())

    def _refusal(self, size: int) -> tuple[Message, Message]:
        detail = (
            f"The response has {size} bytes, and the memory for responses is in use by clients that have not "
            "read theirs. Try again in a moment."
        )
        problem = problems.of_error(Overloaded(detail), instance=self._scope["path"])
        self._scope.setdefault("state", {})["problem"] = problem.type.rpartition("/")[2]
        body = problem.under(self._scope.get("root_path", "")).model_dump_json(exclude_none=True).encode()
        headers = [
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", problems.retry_after().encode()),
        ]
        return (
            {"type": "http.response.start", "status": problem.status, "headers": headers},
            {"type": "http.response.body", "body": body},
        )
