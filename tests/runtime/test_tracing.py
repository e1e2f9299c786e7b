import logging
import socket
import time
from collections.abc import Iterator

import pytest

from app.errors import CannotStart, Overloaded
from app.runtime import spans
from app.runtime.timing import Postponed, Timing
from app.runtime.tracing import OtelTracer
from tests.collector import Collector, collector
from tests.servers import until


@pytest.fixture
def received() -> Iterator[Collector]:
    with collector() as found:
        yield found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are sent at once."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


def test_what_waits_is_sent_at_the_end(received: Collector) -> None:
    tracer = OtelTracer(received.url, "1.2.3")
    with tracer.request("GET", []):
        pass
    assert received.spans == []  # the next batch would leave in 5 seconds
    tracer.close(10)
    (span,) = received.spans
    assert span.resource["service.version"] == "1.2.3"


def test_the_standard_variables_have_effect(received: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "faces-berlin")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")  # the setting of Facet wins
    tracer = OtelTracer(received.url, "1.2.3")
    with tracer.request("GET", []):
        pass
    tracer.close(10)
    resource = received.spans[0].resource
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("faces-berlin", "test")


def test_a_ratio_of_traces_is_complete(received: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    tracer = OtelTracer(received.url, "1.2.3")
    for _ in range(64):
        with tracer.request("GET", []), tracer.span("decode"):
            pass
    tracer.close(10)
    roots = [span for span in received.spans if not span.parent_id]
    assert 8 <= len(roots) <= 56  # outside with a probability of 1e-9
    assert all(received.tree(root) == {"decode": {}} for root in roots)


def test_a_job_that_starts_again_has_no_error(received: Collector) -> None:
    tracer = OtelTracer(received.url, "1.2.3")
    with tracer.request("POST", []):
        with pytest.raises(Postponed), Timing().stage("decode"):
            raise Postponed("The image is large.")
        with pytest.raises(Overloaded), Timing().stage("store"):
            raise Overloaded("All places are taken.")
    tracer.close(10)
    decode, store, _ = received.spans
    assert (decode.status, decode.attributes["facet.postponed"]) == (0, True)
    assert (store.status, store.attributes["error.type"]) == (2, "Overloaded")


def test_a_past_span_has_its_start(received: Collector) -> None:
    tracer = OtelTracer(received.url, "1.2.3")
    with tracer.request("POST", []):
        spans.past_span("queue", time.perf_counter() - 3)
    tracer.close(10)
    queue = received.spans[0]
    assert (queue.end - queue.start) / 1e9 == pytest.approx(3, abs=0.1)


@pytest.mark.usefixtures("quick")
def test_a_collector_that_is_away_costs_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    tracer = OtelTracer(url, "1.2.3")
    for _ in range(5):
        with tracer.request("GET", []), tracer.span("decode"):
            pass
        time.sleep(0.05)
    until(lambda: caplog.records, 10)
    start = time.monotonic()
    tracer.close(0.3)
    assert time.monotonic() - start < 1
    warnings = [r.getMessage() for r in caplog.records if "OpenTelemetry reports" in r.getMessage()]
    assert len(warnings) == 1
    assert "requests are not affected" in warnings[0]


@pytest.mark.usefixtures("quick")
def test_a_collector_that_never_answers_delays_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracer = OtelTracer(f"http://127.0.0.1:{silent.getsockname()[1]}", "1.2.3")
        start = time.monotonic()
        for _ in range(200):
            with tracer.request("GET", []):
                pass
        assert time.monotonic() - start < 1
        assert [r.levelno for r in caplog.records] == [logging.WARNING]  # the queue is full
        tracer.close(0.2)
        assert time.monotonic() - start < 2
    assert "were not sent" in caplog.text


@pytest.mark.usefixtures("quick")
def test_it_continues_when_the_collector_is_back(received: Collector) -> None:
    received.status = 400
    tracer = OtelTracer(received.url, "1.2.3")
    with tracer.request("lost", []):
        pass
    time.sleep(0.2)
    received.status = 200
    with tracer.request("sent", []):
        pass
    until(lambda: [span.name for span in received.spans] == ["sent"], 10)
    tracer.close(10)


def test_an_invalid_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    with pytest.raises(CannotStart, match="max_export_batch_size must be"):
        OtelTracer("http://127.0.0.1:1", "1.2.3")
