"""The record of a GPU, in its small form on the CPU: every section with the real service."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.__main__ import SECTIONS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]


def run(out: Path) -> tuple[int, str]:
    """Return the exit status of the command, and what it wrote to standard error."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--small"]
    command += ["--minutes", "10", "--out", str(out)]
    environment = {**os.environ, "FACE_PRECISION": "float"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _, written = process.communicate(timeout=900)
        except subprocess.TimeoutExpired:
            process.terminate()  # not killed, so that it ends its service
            raise
        return process.returncode, written


def test_every_section_is_measured_and_not_again(tmp_path: Path) -> None:
    status, written = run(tmp_path)
    assert status == 0, written
    sections = json.loads((tmp_path / "gpu-cpu.json").read_text())["sections"]
    assert list(sections) == list(SECTIONS)
    for section in sections.values():
        assert section["state"] == "measured"
        assert section["tables"][0]["rows"]
    assert "Not measured." not in (tmp_path / "gpu-cpu.md").read_text()
    status, written = run(tmp_path)
    assert (status, written.count("measured already")) == (0, len(SECTIONS))
