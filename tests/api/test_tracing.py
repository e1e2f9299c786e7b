"""The traces of the service, as a collector receives them over HTTP."""

import logging
import os
import sys
from collections.abc import Iterator
from queue import Queue
from typing import Any

import httpx
import pytest

from app import logs
from app.main import create_app
from app.pipeline.analyzer import Analyzer
from app.settings import Settings
from tests.api.pictures import picture
from tests.collector import Collector, Received, collector
from tests.fakes import fake_analyzer
from tests.processes import EXAMPLE
from tests.servers import client_of, serving, until

SERVER, INTERNAL = 2, 1
UNSET, ERROR = 0, 2
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STAGES = ["decode", "pnet", "rnet", "onet", "orientation"]
EMBEDDING = ["align", "align #2", "landmarks", "embed"]
JPEG = {"Content-Type": "image/jpeg"}


FAIL: list[Exception] = []
"""What the fake detector raises, if anything."""


def on_detect() -> None:
    logging.getLogger("tests.detector").warning("in the worker thread")
    if FAIL:
        raise FAIL.pop()


@pytest.fixture(scope="module")
def received() -> Iterator[Collector]:
    with pytest.MonkeyPatch.context() as patch, collector() as found:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield found


@pytest.fixture(scope="module")
def real(
    received: Collector, analyzer: Analyzer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of a service with the real models."""
    gallery = str(tmp_path_factory.mktemp("traced") / "gallery.db")
    settings = Settings(otlp_endpoint=received.url, gallery=gallery)
    with serving(create_app(settings, analyzer)) as url, client_of(url) as client:
        yield client


@pytest.fixture(scope="module")
def fake(received: Collector) -> Iterator[httpx.Client]:
    """A client of a service with fake nets, whose detector writes a log line."""
    settings = Settings(otlp_endpoint=f"{received.url}/", gallery="off")
    with serving(create_app(settings, fake_analyzer(on_detect))) as url, client_of(url) as client:
        yield client


def root_of(received: Collector, trace_id: str) -> Received:
    """The span of the request of a trace; it is the last one that is sent."""
    until(lambda: any(span.kind == SERVER for span in received.of(trace_id)))
    (root,) = [span for span in received.of(trace_id) if span.kind == SERVER]
    return root


def traced(number: int, flags: str = "01") -> tuple[str, dict[str, str]]:
    """A trace id, and the header of a request that continues this trace."""
    trace_id = f"{number:032x}"
    return trace_id, {"traceparent": f"00-{trace_id}-{PARENT}-{flags}"}


class TestTree:
    def test_of_detect(self, real: httpx.Client, received: Collector) -> None:
        trace_id, parent = traced(1)
        answer = real.post("/detect?model=cascade&max_faces=7", content=EXAMPLE, headers=parent | JPEG)
        root = root_of(received, trace_id)
        assert root.name == "POST /detect"
        assert root.parent_id == PARENT
        assert root.status == UNSET
        assert root.attributes == {
            "http.request.method": "POST",
            "http.route": "/detect",
            "http.response.status_code": 200,
            "url.scheme": "http",
        }
        assert root.resource["service.name"] == "facet"
        assert root.resource["process.pid"] == os.getpid()
        assert received.tree(root) == {name: {} for name in ["queue", *STAGES]}
        parts = [span for span in received.of(trace_id) if span != root]
        assert {span.kind for span in parts} == {INTERNAL}
        assert all(root.start <= span.start <= span.end <= root.end for span in parts)
        assert set(received.paths) == {"/v1/traces"}
        took = answer.json()["timing_ms"]
        for span in parts[1:]:
            queued = span.attributes["facet.queue_ms"]
            assert (span.end - span.start) / 1e6 - queued == pytest.approx(took[span.name], abs=0.5)

    def test_of_verify(self, real: httpx.Client, received: Collector) -> None:
        trace_id, parent = traced(2)
        files = {"image_a": EXAMPLE, "image_b": EXAMPLE}
        assert real.post("/verify", files=files, headers=parent).is_success
        tree = received.tree(root_of(received, trace_id))
        assert list(tree)[:6] == ["queue", *STAGES]
        assert {"pnet #2", "landmarks #2", "embed #2"} <= set(tree)
        assert "decode #2" not in tree  # one stage decodes both images

    def test_of_the_gallery(self, real: httpx.Client, received: Collector) -> None:
        real.put("/collections/a-family")
        trace_id, parent = traced(3)
        person = {"name": "Ada Lovelace", "external_id": "4711-secret"}
        made = real.post("/collections/a-family/people", json=person, headers=parent).json()
        root = root_of(received, trace_id)
        assert root.name == "POST /collections/{collection}/people"
        names = list(received.tree(root))
        assert names[:3] == ["queue", "store.collection", "store.add_person"]
        # A loaded index follows the change; whether it is loaded depends on the checks of every second.
        assert names[3:4] in ([], ["store.changes"])
        assert all(name.startswith("store.") for name in names[3:])

        trace_id, parent = traced(4)
        faces = f"/collections/a-family/people/{made['id']}/faces"
        assert real.post(faces, content=EXAMPLE, headers=parent | JPEG).is_success
        tree = received.tree(root_of(received, trace_id))
        assert list(tree["image"])[-6:] == ["orientation", *EMBEDDING, "store"]
        assert "store.add_face" in tree["image"]["store"]  # and those of the index, if it takes it over

        trace_id, parent = traced(5)
        path = "/collections/a-family/identify?top=1"
        found = real.post(path, content=EXAMPLE, headers=parent | JPEG).json()
        assert found["faces"][0]["person"]["id"] == made["id"]
        tree = received.tree(root_of(received, trace_id))
        assert list(tree) == ["queue", "store.collection", *STAGES, *EMBEDDING, "search"]
        assert "store.people_by_key" in tree["search"]

        sent = b"".join(received.bodies)
        for secret in ("Ada", "4711-secret", "a-family", made["id"], "top=1", "127.0.0.1", "testserver"):
            assert secret.encode() not in sent

    def test_a_batch_has_a_span_for_each_image(self, fake: httpx.Client, received: Collector) -> None:
        trace_id, parent = traced(6)
        files = [("image", picture()), ("image", picture())]
        assert fake.post("/detect/batch", files=files, headers=parent).is_success
        tree = received.tree(root_of(received, trace_id))
        image: dict[str, Any] = {"queue": {}, "decode": {}, "fake": {}}
        assert tree == {"image": image, "image #2": image}


class TestParent:
    def test_the_flag_of_the_parent_is_respected(self, fake: httpx.Client, received: Collector) -> None:
        (unsampled, parent), (later, other) = traced(10, "00"), traced(11)
        assert fake.post("/detect", content=picture(), headers=parent | JPEG).is_success
        fake.get("/livez", headers=other)
        root_of(received, later)
        assert received.of(unsampled) == []

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            [("traceparent", "00-xyz-1-01")],
            [("traceparent", f"00-{TRACE}-{PARENT}-01")] * 2,
            [("traceparent", f"00-{'0' * 32}-{PARENT}-01")],
        ],
        ids=["none", "malformed", "two", "zero"],
    )
    def test_without_a_valid_parent_a_trace_begins(
        self, fake: httpx.Client, received: Collector, headers: list[tuple[str, str]]
    ) -> None:
        before = {span.trace_id for span in received.requests("GET /models")}
        assert fake.get("/models", headers=headers).is_success
        until(lambda: {span.trace_id for span in received.requests("GET /models")} - before)
        root = received.requests("GET /models")[-1]
        assert root.parent_id == ""
        assert root.trace_id != TRACE


class TestErrors:
    def test_of_the_client_are_none_of_the_server(self, fake: httpx.Client, received: Collector) -> None:
        trace_id, parent = traced(20)
        assert fake.post("/detect", content=b"no image", headers=parent | JPEG).status_code == 422
        root = root_of(received, trace_id)
        assert root.status == UNSET
        assert root.attributes["facet.problem"] == "not-an-image"
        assert "error.type" not in root.attributes

    def test_of_the_server(self, fake: httpx.Client, received: Collector) -> None:
        trace_id, parent = traced(21)
        FAIL.append(ValueError("Ada Lovelace"))
        assert fake.post("/detect", content=picture(), headers=parent | JPEG).status_code == 500
        root = root_of(received, trace_id)
        assert root.status == ERROR
        assert root.attributes["error.type"] == root.attributes["facet.problem"] == "internal-error"
        assert root.events == 0  # an exception event would have the message
        assert b"Ada Lovelace" not in b"".join(received.bodies)

    def test_an_unknown_path_and_method_have_one_name(self, fake: httpx.Client, received: Collector) -> None:
        (one, parent), (two, other) = traced(22), traced(23)
        fake.get("/nobody/Ada", headers=parent)
        fake.request("BREW", "/detect", headers=other)
        assert root_of(received, one).name == "GET"
        assert "http.route" not in root_of(received, one).attributes
        assert root_of(received, two).name == "HTTP /detect"
        assert root_of(received, two).attributes["http.request.method"] == "_OTHER"


def test_log_lines_have_the_ids_of_their_span(
    fake: httpx.Client, received: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    handler = logs.DroppingQueueHandler(Queue(), logs.CountingStreamHandler(sys.stderr))
    logging.getLogger().addHandler(handler)
    caplog.set_level(logging.INFO)
    trace_id, parent = traced(30)
    try:
        fake.post("/detect", content=picture(), headers=parent | JPEG)
        root = root_of(received, trace_id)
    finally:
        logging.getLogger().removeHandler(handler)
    lines = {r.name: r.__dict__ for r in handler.queue.queue if r.__dict__.get("trace_id") == trace_id}
    assert lines["app.api.middleware.access_log"]["span_id"] == root.span_id
    assert lines["tests.detector"]["span_id"] in {span.span_id for span in received.of(trace_id)}
    assert lines["tests.detector"]["request_id"] == lines["app.api.middleware.access_log"]["request_id"]


def test_fastapi_sends_nothing_of_its_own(received: Collector) -> None:
    """Its own telemetry, which the standard variables switch on, would send the query."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        with serving(create_app(Settings(gallery="off"), fake_analyzer())) as url, client_of(url) as client:
            assert client.post("/detect?max_faces=9", content=picture(), headers=JPEG).is_success
    assert {span.resource["process.pid"] for span in received.spans} == {os.getpid()}
    assert set(received.paths) == {"/v1/traces"}
    assert b"max_faces" not in b"".join(received.bodies)
