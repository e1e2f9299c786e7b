"""Traces of real processes: what is imported, what is missing, and what several workers send."""

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.collector import collector
from tests.integration.workers import all_ready
from tests.processes import EXAMPLE, SERVE, is_ready, process
from tests.servers import http, until

pytestmark = pytest.mark.integration

JPEG = {"Content-Type": "image/jpeg"}

WITHOUT_OTEL = """
import sys
sys.modules[sys.argv.pop(1)] = None  # as if it were not installed
sys.argv = ["facet", "serve", "--port", "0", "--device", "cpu"]
from app.cli import main
main()
"""

LOADED = """
import json, sys
from app.main import create_app
from app.settings import Settings
import app.server
create_app(Settings())
print(json.dumps(sorted(sys.modules)))
"""


def modules(**variables: str) -> set[str]:
    """Return the modules that an application has loaded."""
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=True)
    return set(json.loads(done.stdout))


def test_it_is_imported_only_when_it_is_on() -> None:
    parts = {"app.runtime.tracing", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"}
    assert not [m for m in modules() if m in parts or m.startswith(("opentelemetry.sdk", "requests"))]
    assert parts <= modules(FACE_OTLP_ENDPOINT="http://127.0.0.1:4318")


@pytest.mark.parametrize("module", ["opentelemetry.sdk", "opentelemetry.exporter"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_missing_package_is_named(module: str, workers: int) -> None:
    settings = {"otlp_endpoint": "http://127.0.0.1:4318", "workers": workers}
    with process("-c", WITHOUT_OTEL, module, **settings) as (running, _, lines):
        assert running.wait(60) == 1
    (line,) = [line for line in lines if "FACE_OTLP_ENDPOINT" in line]
    assert "make otel" in line
    assert "pip install '.[otel]' in the folder of Facet" in line
    assert not any("Traceback" in line for line in lines), lines


def test_each_worker_sends_its_spans_and_the_end_sends_the_last() -> None:
    settings = {"workers": 2, "models": "cascade", "gallery": "off", "log_format": "json"}
    with (
        collector() as received,
        process(*SERVE, otlp_endpoint=received.url, **settings) as (running, url, lines),
    ):
        until(lambda: all_ready(url), 120)
        for _ in range(24):
            assert http.post(f"{url}/detect", content=EXAMPLE, headers=JPEG).is_success
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0, lines
        roots = received.requests("POST /detect")
        assert len(roots) == 24
        assert len({root.resource["process.pid"] for root in roots}) == 2
        assert all({"queue", "decode", "onet"} <= set(received.tree(root)) for root in roots)
    logged = [json.loads(line) for line in lines if '"/detect"' in line]
    assert {line["trace_id"] for line in logged} == {root.trace_id for root in roots}


def test_a_collector_that_is_away_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    settings = {"otlp_endpoint": "http://127.0.0.1:1", "models": "cascade", "shutdown_timeout_s": 10}
    with process(*SERVE, gallery="off", **settings) as (running, url, lines):
        until(lambda: is_ready(url), 120)
        for _ in range(3):
            assert http.post(f"{url}/detect", content=EXAMPLE, headers=JPEG).is_success
            time.sleep(0.7)
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0, lines
        assert time.monotonic() - start < 5
    assert len([line for line in lines if "Spans may be lost" in line]) == 1, lines


@pytest.mark.parametrize("workers", [1, 2])
def test_an_invalid_variable_ends_the_start(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    with process(*SERVE, otlp_endpoint="http://127.0.0.1:1", workers=workers) as (running, _, lines):
        assert running.wait(60) == 1
    assert any("max_export_batch_size must be" in line for line in lines), lines
    assert not any("Traceback" in line for line in lines), lines
