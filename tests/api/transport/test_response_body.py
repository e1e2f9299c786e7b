"""Responses: slices, their memory, and what happens if there is none left."""

import asyncio
import json
import socket
from typing import Any

from starlette.responses import Response

from app.api.transport import response_body
from app.api.transport.memory_budget import MemoryBudget
from app.api.transport.response_body import ResponseBody
from app.main import create_app
from app.settings import Settings
from tests.api.transport.clients import FakeClient
from tests.api.transport.test_h11_protocol import metric
from tests.fakes import fake_analyzer
from tests.servers import http, serving, until

START = {"type": "http.response.start", "status": 200, "headers": []}


def sent(budget: MemoryBudget, *bodies: bytes, client: FakeClient | None = None) -> list[dict[str, Any]]:
    """The messages of a response whose body comes in these parts."""
    messages: list[dict[str, Any]] = []

    async def run() -> None:
        async def send(message: Any) -> None:
            messages.append({**message, "body": bytes(message.get("body", b"")), "used": budget.used})

        response = ResponseBody({"path": "/detect", "root_path": "/facet"}, send, budget, client)
        await response.send(START)
        for index, body in enumerate(bodies):
            more = index + 1 < len(bodies)
            await response.send({"type": "http.response.body", "body": body, "more_body": more})
        response.release()

    asyncio.run(run())
    return messages


def test_a_large_response_comes_in_slices_and_its_memory_is_given_back() -> None:
    budget, body = MemoryBudget(1 << 20), bytes(range(250)) * 4000
    start, *parts = sent(budget, body)
    assert start["status"] == 200
    assert b"".join(part["body"] for part in parts) == body
    assert max(len(part["body"]) for part in parts) == response_body._SLICE
    assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
    assert {part["used"] for part in parts} == {len(body)}
    assert budget.used == 0


def test_what_the_client_reads_is_its_progress() -> None:
    client = FakeClient()
    sent(MemoryBudget(1 << 20), bytes(900_000), client=client)
    assert client.recent._count > 500_000


def test_small_responses_and_those_in_parts_always_pass() -> None:
    budget = MemoryBudget(100)
    budget.used = 100
    assert [message.get("status") for message in sent(budget, bytes(60_000))] == [200, None]
    assert len(sent(budget, *[bytes(60_000)] * 5)) == 6


def test_a_response_without_memory_becomes_a_problem() -> None:
    budget = MemoryBudget(100_000)
    start, body = sent(budget, bytes(100_001))
    problem = json.loads(body["body"])
    assert (start["status"], problem["type"]) == (503, "/facet/problems/overloaded")
    assert "responses" in problem["detail"]
    assert (b"content-length", str(len(body["body"])).encode()) in start["headers"]
    assert b"retry-after" in dict(start["headers"])
    assert not body.get("more_body")


def test_a_client_that_does_not_read_gives_way_to_one_that_does() -> None:
    settings = Settings(max_response_memory_mb=1)
    app = create_app(settings, fake_analyzer())

    @app.get("/large")
    def large() -> Any:
        return Response(bytes(1_000_000))

    with serving(app, settings=settings) as url, socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        wire.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)

        def read() -> bool:
            return len(http.get(f"{url}/large").content) == 1_000_000

        until(lambda: not read(), 20)
        until(read, 20)
        until(lambda: metric(url, 'face_rejected_total{reason="slow-reader"}') == 1, 5)
