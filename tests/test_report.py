"""The note of a report, which warns of other processes."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks import report


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
