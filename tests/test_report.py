"""The note of a report, which warns of other processes, and the folder of reports."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

from benchmarks import cost, peers_http, report


def test_the_note_warns_of_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert report.note_with_load(0.19) == report.note()
    warned = report.note_with_load(1.06)
    assert warned.startswith(report.note())
    assert "Other processes used 1.1 cores before the start" in warned


def test_a_process_that_computes_uses_a_core() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)
        assert 0.5 < report.cores_in_use(1.0) <= (os.cpu_count() or 1)
    finally:
        busy.kill()
        busy.wait()


@pytest.mark.parametrize("benchmark", [cost, peers_http])
def test_a_folder_that_cannot_be_made_is_refused_before_the_measurement(
    benchmark: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with (
        patch.object(report, "cores_in_use", side_effect=AssertionError("the measurement begins")),
        pytest.raises(SystemExit, match=r"file"),
    ):
        benchmark.main(out=tmp_path / "file" / "results")
