"""A bundle is made of the last commit, and installs and serves Facet in a namespace without a network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.isolated import run, why_not

REASON = why_not()

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    pytest.mark.skipif(
        not Path(".git").exists(), reason="a bundle is made of a commit, and this is no clone"
    ),
]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path), "h11"]
    reachable = subprocess.run(pip, capture_output=True, text=True)
    if reachable.returncode:
        pytest.skip(f"pip reaches no package index: {reachable.stderr.strip().splitlines()[-1]}")
    out = tmp_path / "bundle"
    subprocess.run([sys.executable, "-m", "scripts.bundle", "--out", str(out)], check=True)
    return out


def test_a_bundle_serves_without_a_network(bundle: Path, tmp_path: Path) -> None:
    assert max(part.stat().st_size for part in bundle.iterdir()) <= 55 << 20
    folder = tmp_path / "facet"
    report = run("install", tmp_path, BUNDLE=str(bundle), FOLDER=str(folder))
    assert report.faces == 1
    assert "Ip OutNoRoutes" in report.counters
    assert report.addresses == []
    assert not any(report.counters.values())

    # A measurement needs no other package, and the command line works in any folder.
    measure = [f"{folder}/.venv/bin/python", "-m", "benchmarks.stages", "--help"]
    subprocess.run(measure, cwd=folder, check=True, capture_output=True)
    detect = [f"{folder}/facet", "detect", f"{folder}/tests/photos/obama.jpg"]
    done = subprocess.run(detect, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert len(json.loads(done.stdout)["faces"]) == 1
