"""Readiness and admission, over HTTP."""

import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from fastapi.routing import APIRoute

from app.api import batch_routes, face_routes, status_routes
from app.main import create_app
from app.runtime.admission import Admission
from app.settings import Settings
from tests.api.pictures import picture, problem
from tests.api.test_request_body import connect, head
from tests.fakes import fake_analyzer
from tests.servers import http, serving, until


def test_before_the_models_are_warm() -> None:
    """The warm-up's own detection is held up; until it ends only /livez and what needs no model answers."""
    gate = threading.Event()

    def hold() -> None:
        gate.wait(60)

    app = create_app(Settings(), fake_analyzer(hold))
    try:
        with serving(app, wait=False) as url:
            assert http.get(f"{url}/livez").json() == {"status": "ok"}
            assert http.get(f"{url}/version").status_code == 200
            assert http.get(f"{url}/").status_code == 200
            refused = [http.get(f"{url}{address}") for address in ("/readyz", "/models")]
            probe = http.head(f"{url}/readyz")
            assert (probe.status_code, probe.content) == (503, b"")
            names = ("image", "image", "image", "image_a")
            for address, name in zip(("/detect", "/landmarks", "/embed", "/verify"), names, strict=True):
                refused.append(http.post(f"{url}{address}", files={name: picture()}))
            for response in refused:
                problem(response, 503, "not-ready")
                assert int(response.headers["retry-after"]) >= 1
            gate.set()
            until(lambda: http.get(f"{url}/readyz").status_code == 200)
            assert http.post(f"{url}/detect", files={"image": picture()}).status_code == 200
    finally:
        gate.set()


def test_nothing_a_route_asks_for_waits_for_a_thread() -> None:
    """FastAPI runs what is no coroutine in a pool of threads, in which reading may have taken every place."""
    calls = [
        dependency.call
        for router in (face_routes.router, batch_routes.router, status_routes.router)
        for route in router.routes
        if isinstance(route, APIRoute)
        for dependency in route.dependant.dependencies
    ]
    assert len(calls) > 5
    assert all(inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call) for call in calls)


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
                return http.post(f"{url}/detect", files={"image": picture()}, timeout=30)

            held = [clients.submit(ask) for _ in range(3)]
            until(lambda: service.admission.admitted == 3)
            response = ask()
            problem(response, 503, "overloaded")
            assert int(response.headers["retry-after"]) >= 1
            assert http.get(f"{url}/livez").status_code == 200  # the event loop is free
            with connect(url) as wire:  # refused before the body has come
                wire.sendall(head("Content-Type: image/jpeg", "Content-Length: 1000"))
                assert b" 503 " in wire.recv(65536).split(b"\r\n")[0]
            gate.set()
            assert [future.result(30).status_code for future in held] == [200, 200, 200]
            until(lambda: service.admission.admitted == 0)
            assert ask().status_code == 200
    finally:
        gate.set()


class Held:
    """A detection that waits until it is let go; counts how many began."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.began = 0
        self.gate.set()

    def __call__(self) -> None:
        self.began += 1
        self.gate.wait(30)


@contextmanager
def held_service(**settings: float) -> Iterator[tuple[str, Admission, Held]]:
    """A service whose detections are held from now on."""
    held = Held()
    chosen = Settings(**settings)  # type: ignore[arg-type]
    app = create_app(chosen, fake_analyzer(held))
    with serving(app) as url:
        held.gate.clear()
        held.began = 0
        try:
            yield url, app.state.service.admission, held
        finally:
            held.gate.set()


def test_a_request_whose_body_is_still_coming_takes_no_place() -> None:
    with held_service(max_concurrent=1, max_queue=1) as (url, admission, held):
        held.gate.set()
        wires = [connect(url) for _ in range(8)]
        for wire in wires:
            wire.sendall(head("Content-Type: image/jpeg", "Content-Length: 1000") + b"slowly")
        until(lambda: admission.admitted == 8)
        for _ in range(5):
            assert http.post(f"{url}/detect", files={"image": picture()}).status_code == 200
        for wire in wires:
            wire.close()
        until(lambda: admission.admitted == 0)


def test_a_body_that_is_complete_when_all_places_are_taken_is_refused() -> None:
    with held_service(max_concurrent=1, max_queue=0) as (url, admission, held):
        data = picture()
        with connect(url) as slow, ThreadPoolExecutor() as clients:
            slow.sendall(head("Content-Type: image/jpeg", f"Content-Length: {len(data)}") + data[:-1])
            until(lambda: admission.admitted == 1)
            running = clients.submit(http.post, f"{url}/detect", files={"image": data}, timeout=30)
            until(lambda: held.began == 1)
            slow.sendall(data[-1:])
            assert b" 503 " in slow.recv(65536).split(b"\r\n")[0]
            held.gate.set()
            assert running.result(30).status_code == 200


@pytest.mark.parametrize("bad", [b"no picture", picture()[:-400]])
def test_a_request_that_fails_gives_its_place_back(bad: bytes) -> None:
    with held_service(max_concurrent=1, max_queue=0) as (url, admission, held):
        held.gate.set()
        for _ in range(3):
            assert http.post(f"{url}/detect", files={"image": bad}).status_code == 422
            assert http.post(f"{url}/detect?min_face_size=no", files={"image": bad}).status_code == 422
            assert http.post(f"{url}/detect", content=b"no picture").status_code == 415
            until(lambda: admission.admitted == 0)


def test_what_is_not_done_in_time_is_a_problem_of_its_own() -> None:
    with held_service(max_concurrent=1, max_queue=5, request_timeout_s=0.3) as (url, admission, held):
        with ThreadPoolExecutor() as clients:
            answers = list(
                clients.map(lambda _: http.post(f"{url}/detect", files={"image": picture()}), range(3))
            )
        for answer in answers:
            problem(answer, 503, "deadline-exceeded")
            assert int(answer.headers["retry-after"]) >= 1
        assert held.began == 1  # what waited never began
        assert admission.admitted == 1
        held.gate.set()
        until(lambda: admission.admitted == 0)
        assert http.post(f"{url}/detect", files={"image": picture()}).status_code == 200


def test_a_client_that_goes_away_costs_nothing_more() -> None:
    body = picture()
    request = head("Content-Type: image/jpeg", f"Content-Length: {len(body)}") + body
    with held_service(max_concurrent=1, max_queue=5) as (url, admission, held):
        wires = [connect(url) for _ in range(4)]
        for number, wire in enumerate(wires):
            wire.sendall(request)
            until(lambda n=number: admission.admitted == n + 1)
        for wire in wires:
            wire.close()
        until(lambda: admission.admitted == 1)  # the one at work, until it is at its next stage
        held.gate.set()
        until(lambda: admission.admitted == 0)
        assert held.began == 1
        assert http.post(f"{url}/detect", files={"image": picture()}).status_code == 200


def test_while_it_ends_it_finishes_and_refuses() -> None:
    with held_service(max_concurrent=1) as (url, admission, held), ThreadPoolExecutor() as clients:
        running = clients.submit(lambda: http.post(f"{url}/detect", files={"image": picture()}, timeout=30))
        until(lambda: held.began == 1)
        admission.drain()
        problem(http.get(f"{url}/readyz"), 503, "not-ready")
        refused = http.post(f"{url}/detect", files={"image": picture()})
        problem(refused, 503, "not-ready")
        assert int(refused.headers["retry-after"]) >= 1
        assert http.get(f"{url}/livez").status_code == 200
        held.gate.set()
        assert running.result(30).status_code == 200


def test_no_memory_is_a_503() -> None:
    def exhausted() -> None:
        raise MemoryError

    fill = threading.Event()
    app = create_app(Settings(), fake_analyzer(lambda: exhausted() if fill.is_set() else None))
    with serving(app) as url:
        fill.set()
        problem(http.post(f"{url}/detect", files={"image": picture()}), 503, "out-of-memory")
        fill.clear()
        assert http.post(f"{url}/detect", files={"image": picture()}).status_code == 200
