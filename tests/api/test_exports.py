"""Exports that clients do not read: how many there may be, and that each of them is released."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.runtime.admission import MAX_STREAMS, Admission
from app.settings import Settings
from tests.api.pictures import problem
from tests.fakes import fake_analyzer
from tests.servers import client_of, serving, until

EXPORT = "/collections/family/export"


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return create_app(Settings(gallery=str(tmp_path / "gallery.db")), fake_analyzer())


@pytest.fixture
def http(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of a service with a collection that does not fit into the buffers of a connection."""
    with serving(app) as address, client_of(address) as client:
        client.put("/collections/family")
        header, end = client.get(EXPORT).content.splitlines()
        person = {"created": "2026-01-01T00:00:00Z", "metadata": {"a": "x" * 4000}}
        people = [json.dumps({"person": {**person, "id": f"{n:032x}"}, "faces": []}) for n in range(4000)]
        end = json.dumps({**json.loads(end), "people": len(people)}).encode()
        content = b"\n".join([header, *map(str.encode, people), end])
        assert client.post("/collections/family/import", content=content).status_code == 200
        yield client


def test_exports_that_nobody_reads_are_limited_and_released(app: FastAPI, http: httpx.Client) -> None:
    admission: Admission = app.state.service.admission
    with ExitStack() as unread:
        for _ in range(MAX_STREAMS):
            response = unread.enter_context(http.stream("GET", EXPORT))
            assert response.status_code == 200
        refused = http.get(EXPORT)
        assert "exports" in problem(refused, 503, "overloaded")["detail"]
        assert int(refused.headers["retry-after"]) > 0
        assert http.get("/collections").status_code == 200
        assert admission.admitted == MAX_STREAMS  # a stop of the service waits for them
    until(lambda: admission.admitted == 0)
    for _ in range(MAX_STREAMS + 1):
        assert http.get(EXPORT).content.endswith(b'"faces":0}\n')


def test_exports_that_fail_are_released(app: FastAPI, http: httpx.Client) -> None:
    for _ in range(MAX_STREAMS + 1):
        problem(http.get("/collections/nobody/export"), 404, "unknown-id", "collection")
    assert app.state.service.admission.admitted == 0
