"""Readiness and admission, over HTTP."""

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
from fastapi.routing import APIRoute

from app.api import about, routes
from app.main import create_app
from app.settings import Settings
from tests.api.pictures import picture, problem
from tests.api.test_reading import connect, head
from tests.fakes import fake_analyzer
from tests.servers import serving, until


def test_before_the_models_are_warm() -> None:
    """The warm-up's own detection is held up; until it ends only /livez and what needs no model answers."""
    gate = threading.Event()

    def hold() -> None:
        gate.wait(60)

    app = create_app(Settings(), fake_analyzer(hold))
    try:
        with serving(app, wait=False) as url:
            assert httpx.get(f"{url}/livez").json() == {"status": "ok"}
            assert httpx.get(f"{url}/version").status_code == 200
            assert httpx.get(f"{url}/").status_code == 200
            refused = [httpx.get(f"{url}{address}") for address in ("/readyz", "/models")]
            probe = httpx.head(f"{url}/readyz")
            assert (probe.status_code, probe.content) == (503, b"")
            names = ("image", "image", "image", "image_a")
            for address, name in zip(("/detect", "/landmarks", "/embed", "/verify"), names, strict=True):
                refused.append(httpx.post(f"{url}{address}", files={name: picture()}))
            for response in refused:
                problem(response, 503, "not-ready")
                assert int(response.headers["retry-after"]) >= 1
            gate.set()
            until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
            assert httpx.post(f"{url}/detect", files={"image": picture()}).status_code == 200
    finally:
        gate.set()


def test_nothing_a_route_asks_for_waits_for_a_thread() -> None:
    """FastAPI runs what is no coroutine in a pool of threads, in which reading may have taken every place."""
    calls = [
        dependency.call
        for router in (routes.router, about.router)
        for route in router.routes
        if isinstance(route, APIRoute)
        for dependency in route.dependant.dependencies
    ]
    assert len(calls) > 5
    assert all(inspect.iscoroutinefunction(call) for call in calls)


def test_more_requests_than_there_is_room_for() -> None:
    gate, arrived = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        arrived.release()
        gate.wait(30)

    gate.set()
    app = create_app(Settings(max_concurrent=2, max_queue=1), fake_analyzer(hold))
    try:
        with serving(app) as url, ThreadPoolExecutor() as clients:
            gate.clear()
            while arrived.acquire(blocking=False):
                pass  # those of the warm-up
            service = app.state.service

            def ask() -> httpx.Response:
                return httpx.post(f"{url}/detect", files={"image": picture()}, timeout=30)

            held = [clients.submit(ask) for _ in range(3)]
            until(lambda: service.executor.admitted == 3)
            response = ask()
            problem(response, 503, "overloaded")
            assert int(response.headers["retry-after"]) >= 1
            assert httpx.get(f"{url}/livez").status_code == 200  # the event loop is free
            with connect(url) as wire:  # refused before the body has come
                wire.sendall(head("Content-Type: image/jpeg", "Content-Length: 1000"))
                assert b" 503 " in wire.recv(65536).split(b"\r\n")[0]
            gate.set()
            assert [future.result(30).status_code for future in held] == [200, 200, 200]
            until(lambda: service.executor.admitted == 0)
            assert ask().status_code == 200
    finally:
        gate.set()
