"""The metrics of the supervisor in the folder that it shares with its workers."""

import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from app.api.metrics import FOLDER
from app.processes.restart_metrics import RestartMetrics


@pytest.fixture
def restarts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RestartMetrics:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)  # so that it is as before after the test
    return RestartMetrics(tmp_path, 3)


def reported(folder: Path) -> list[str]:
    """Return the lines that a worker would report."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return generate_latest(registry).decode().splitlines()


def test_workers_report_them(restarts: RestartMetrics, tmp_path: Path) -> None:
    assert "face_workers_wanted 3.0" in reported(tmp_path)
    assert 'face_worker_restarts_total{reason="died"} 0.0' in reported(tmp_path)
    restarts.restarted(1, "hung")
    restarts.restarted(2, "hung")
    restarts.restarted(3, "failed-start")
    lines = reported(tmp_path)
    for reason, count in {"died": 0, "hung": 2, "failed-start": 1}.items():
        assert f'face_worker_restarts_total{{reason="{reason}"}} {count}.0' in lines


def test_failed_starts_do_not_fill_the_folder(restarts: RestartMetrics, tmp_path: Path) -> None:
    before = set(os.listdir(tmp_path))
    kept = tmp_path / "counter_777.db"
    for pid in (7, 777):
        for kind in ("counter", "histogram", "gauge_livesum"):
            (tmp_path / f"{kind}_{pid}.db").write_bytes(bytes(8))
    restarts.restarted(7, "failed-start")
    restarts.restarted(777, "died")
    assert kept.exists()
    assert {name for name in os.listdir(tmp_path) if name not in before} == {
        f"{kind}_777.db" for kind in ("counter", "histogram", "gauge_livesum")
    }
