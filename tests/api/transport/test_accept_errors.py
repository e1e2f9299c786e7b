"""Failures of accept() are logged once a minute."""

import asyncio
import errno
import logging
import socket

import pytest

from app.api.transport import accept_errors
from app.api.transport.accept_errors import AcceptErrors


class Exhausted(socket.socket):
    """A listening socket of a process without free file descriptors."""

    def accept(self) -> tuple[socket.socket, object]:
        raise OSError(errno.EMFILE, "Too many open files")


def test_asyncio_calls_the_handler_and_one_line_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def run(listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(AcceptErrors())
        server = await loop.create_server(asyncio.Protocol, sock=listener, backlog=50)
        with socket.create_connection(listener.getsockname()):
            await asyncio.sleep(0.1)
        server.close()

    with Exhausted() as listener:
        listener.bind(("127.0.0.1", 0))
        asyncio.run(run(listener))
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    line = record.getMessage()
    assert "Too many open files" in line
    assert "FACE_MAX_CONNECTIONS" in line


def test_the_next_line_has_the_count(caplog: pytest.LogCaptureFixture) -> None:
    loop, handler = asyncio.new_event_loop(), AcceptErrors()
    context = {"message": accept_errors._MESSAGE, "exception": OSError(24, "Too many open files")}
    for _ in range(100):
        handler(loop, context)
    handler._logged -= 61
    handler(loop, context)
    loop.close()
    assert [
        record.args[1] for record in caplog.records if isinstance(record.args, tuple) and record.args
    ] == [1, 100]


def test_other_errors_are_logged_as_before(caplog: pytest.LogCaptureFixture) -> None:
    loop, handler = asyncio.new_event_loop(), AcceptErrors()
    for _ in range(2):
        handler(loop, {"message": "something else"})
    loop.close()
    assert [record.getMessage() for record in caplog.records] == ["something else"] * 2
