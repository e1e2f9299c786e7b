import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from app.api.middleware.tracing import Tracing
from tests.fakes import FakeTracer

SCOPE: dict[str, Any] = {"type": "http", "method": "GET", "scheme": "http", "headers": [(b"a", b"b")]}


async def no_message() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def to_nobody(message: Any) -> None:
    pass


def test_a_client_that_disconnects_has_no_status() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    tracer = FakeTracer()
    asyncio.run(Tracing(app, tracer)(dict(SCOPE), no_message, to_nobody))
    (span,) = tracer.spans
    assert span.error == "disconnected"
    assert "http.response.status_code" not in span.attributes
    assert tracer.headers == [(b"a", b"b")]


def test_an_error_after_the_start_of_the_response_is_passed_on() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError

    tracer = FakeTracer()
    with pytest.raises(ValueError):  # noqa: PT011 - that of the application
        asyncio.run(Tracing(app, tracer)(dict(SCOPE), no_message, to_nobody))
    assert tracer.spans[0].attributes["http.response.status_code"] == 200


def test_the_lifespan_has_no_span() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    tracer = FakeTracer()
    asyncio.run(Tracing(app, tracer)({"type": "lifespan"}, no_message, to_nobody))
    assert (seen, tracer.spans) == (["lifespan"], [])
