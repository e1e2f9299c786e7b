"""The connections of the load generators, against scripted servers."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import repeat
from typing import TypeVar

from benchmarks.clients import closed, open_
from benchmarks.connections import Connections
from benchmarks.pictures import Ask

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
T = TypeVar("T")
ASK = Ask("/detect", (b"image",))


class Server:
    """Answers requests with 200, and counts connections, requests and bodies.

    Args:
        requests_per_connection: after this number of requests a connection is closed.
        response: what is sent; nothing if empty.
    """

    def __init__(self, requests_per_connection: int = 1 << 30, response: bytes | None = None) -> None:
        self.connections = 0
        self.bodies: list[bytes] = []
        self._most = requests_per_connection
        self._response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" if response is None else response

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for _ in range(self._most):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                writer.write(self._response)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def run(server: Server, work: Callable[[str], Awaitable[T]]) -> T:
    async def body() -> T:
        async with await asyncio.start_server(server.handle, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            return await asyncio.wait_for(work(f"http://127.0.0.1:{port}"), 20)

    return asyncio.run(body())


async def send(url: str, count: int) -> list[int]:
    async with Connections(url) as connections:
        return [await connections.send(ASK) for _ in range(count)]


def test_a_connection_is_used_again() -> None:
    server = Server()
    assert run(server, lambda url: send(url, 5)) == [200] * 5
    assert (server.connections, server.bodies) == (1, [b"image"] * 5)


def test_a_connection_that_the_service_closed_is_not_used_again() -> None:
    response = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    server = Server(requests_per_connection=1, response=response)
    assert run(server, lambda url: send(url, 3)) == [503] * 3
    assert server.connections == 3


def test_no_response_and_half_a_response_have_status_0() -> None:
    for response in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"no HTTP\r\n\r\n"):
        server = Server(requests_per_connection=1, response=response)
        assert run(server, lambda url: send(url, 1)) == [0]


def test_no_service_has_status_0() -> None:
    assert asyncio.run(send("http://127.0.0.1:9", 1)) == [0]


def test_the_loops_count_each_response() -> None:
    async def both(url: str) -> tuple[int, int]:
        found = await closed(url, repeat(ASK), 3, most=30)
        return len(found.status), (await open_(url, repeat(ASK), 200, 0.3)).status.count(200)

    server = Server()
    closed_count, open_count = run(server, both)
    assert closed_count == 30
    assert open_count == len(server.bodies) - 30 > 20


def test_two_images_are_sent_as_the_form_that_the_service_expects() -> None:
    ask = Ask("/verify", (b"one", b"two"))
    assert ask.content_type.startswith("multipart/form-data; boundary=")
    boundary = ask.content_type.partition("boundary=")[2].encode()
    first, second = ask.body.split(b"--" + boundary)[1:3]
    assert b'name="image_a"' in first
    assert first.endswith(b"\r\n\r\none\r\n")
    assert b'name="image_b"' in second
    assert ask.body.endswith(b"--" + boundary + b"--\r\n")
