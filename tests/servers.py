"""A real uvicorn on a free loopback port, in a thread."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from app.main import protocol_of
from app.settings import Settings


@contextmanager
def serving(app: FastAPI, wait: bool = True, settings: Settings | None = None) -> Iterator[str]:
    """Runs the app and gives its address; waits until it is ready, unless told not to.

    The settings say how patient its connections are; without them, as patient as they are by default.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="warning", lifespan="on", http=protocol_of(settings or Settings()), ws="none"
    )
    server = uvicorn.Server(config)
    app.state.give_up = lambda: None
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        until(lambda: server.started)
        if wait:
            until(lambda: app.state.service.failure is not None or httpx.get(f"{url}/readyz").is_success)
            assert app.state.service.failure is None, app.state.service.failure
        yield url
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


def until(condition: object, seconds: float = 60) -> None:
    """Waits for a condition to hold."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come to hold"
        time.sleep(0.02)
