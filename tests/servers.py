"""A real uvicorn with the service's own configuration, in a thread, and clients for it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from app.server import _config
from app.settings import Settings

http = httpx.Client(verify=False, limits=httpx.Limits(max_keepalive_connections=0))
"""Opens a connection for each request, like `httpx.get`, which also loads TLS certificates for 30 ms."""


def client_of(url: str, timeout: float = 30) -> httpx.Client:
    """Return a client that keeps its connections to a service."""
    return httpx.Client(base_url=url, timeout=timeout, verify=False)


@contextmanager
def serving(app: FastAPI, wait: bool = True, settings: Settings | None = None) -> Iterator[str]:
    """Run the app and yield its address, once it is ready unless `wait` is false.

    Args:
        app: the service.
        wait: whether to wait until it is ready.
        settings: the timeouts of its connections; the default ones if None.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(_config(app, settings or Settings()))
    app.state.give_up = lambda: None
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        until(lambda: server.started)
        if wait:
            until(lambda: app.state.service.failure is not None or http.get(f"{url}/readyz").is_success)
            assert app.state.service.failure is None, app.state.service.failure
        yield url
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive(), "the service does not stop"


def until(condition: Callable[..., object], seconds: float = 60) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come to hold"
        time.sleep(0.02)
