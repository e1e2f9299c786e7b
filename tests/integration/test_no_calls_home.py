"""Facet contacts nobody: neither the service nor the command line, nor the libraries that they use."""

import shutil
from pathlib import Path

import pytest

from tests.integration.isolated import Report, run, why_not

REASON = why_not()

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]


def silent(report: Report) -> bool:
    """Return whether nothing was sent, nor tried to be sent, and nothing was written to HOME."""
    return not (report.addresses or report.home or any(report.counters.values()))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_service_contacts_nobody(tmp_path: Path, workers: str) -> None:
    report = run("serve", tmp_path, FACE_WORKERS=workers)
    assert report.faces == 1
    assert "Ip OutNoRoutes" in report.counters
    assert silent(report), report


def test_the_command_line_contacts_nobody(tmp_path: Path) -> None:
    report = run("detect", tmp_path)
    assert report.faces == 1
    assert silent(report), report


def test_a_connection_is_noticed(tmp_path: Path) -> None:
    """The counters notice it without strace, too, so the tests above can fail."""
    report = run("connect", tmp_path)
    assert report.counters["Ip OutNoRoutes"] == 2
    assert report.addresses == (["192.0.2.1 port 443"] * 2 if shutil.which("strace") else [])


@pytest.mark.parametrize("scenario", ["serve", "detect"])
def test_what_an_operator_allows_is_noticed(tmp_path: Path, scenario: str) -> None:
    """With ONNX Runtime's telemetry on, files appear under HOME, so the tests above can fail."""
    report = run(scenario, tmp_path, ORT_DISABLE_TELEMETRY="0")
    assert any(path.endswith("deviceid") for path in report.home), report
    assert not silent(report)
