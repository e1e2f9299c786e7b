"""Real worker processes that die, hang or cannot start. tests/test_supervisor.py tests them with fakes."""

import io
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.integration.workers import (
    all_ready,
    is_running,
    listens,
    metrics,
    metrics_folders,
    readiness,
    statuses,
    workers,
)
from tests.processes import EXAMPLE, SERVE, SLOW, is_ready, metric, process
from tests.servers import client_of, http, until

SHUTDOWN_TIMEOUT = 20

LITTLE_SPACE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
sys.argv = ["facet", "serve", "--port", "0", "--device", "cpu"]
from app.cli import main
main()
"""
"""Serves although no file can be written."""

pytestmark = pytest.mark.integration


def detect(url: str) -> int:
    """Return the status of a detection; 0 if the connection was lost."""
    try:
        return http.post(f"{url}/detect", files={"image": EXAMPLE}, timeout=60).status_code
    except httpx.TransportError:
        return 0


def test_what_does_not_end_is_left_at_the_end_of_the_shutdown_time() -> None:
    with (
        process("-c", SLOW, "60", shutdown_timeout_s=3) as (running, url, lines),
        ThreadPoolExecutor() as clients,
    ):
        until(lambda: is_ready(url), 120)
        with client_of(url) as client:
            work = clients.submit(detect, url)
            until(lambda: metric(client, "face_queue_running") == 1)
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0, lines
        assert time.monotonic() - start < 3.5
        assert work.result(30) in (0, 503)


def test_a_worker_that_dies_is_replaced_and_no_counter_goes_back() -> None:
    with process(*SERVE, workers=2, models="cascade", shutdown_timeout_s=SHUTDOWN_TIMEOUT) as (
        running,
        url,
        lines,
    ):
        until(lambda: all_ready(url), 120)
        answered = 'face_requests_total{method="POST",route="/detect",status="200"}'
        restarts = 'face_worker_restarts_total{reason="died"}'
        assert [detect(url) for _ in range(12)] == [200] * 12
        before = workers(running.pid)
        counted = metrics(url)
        assert counted[answered] == 12
        os.kill(min(before), signal.SIGKILL)
        until(lambda: metrics(url).get(restarts) == 1)
        assert metrics(url)[answered] == 12
        until(lambda: all_ready(url))
        assert len(workers(running.pid)) == 2
        assert [detect(url) for _ in range(8)] == [200] * 8
        after = metrics(url)
        assert after[answered] == 20
        assert after[restarts] == 1
        totals = [name for name in counted if "_total" in name or "_count" in name or "_bucket" in name]
        assert {name for name in totals if after[name] < counted[name]} == set()
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.wait(SHUTDOWN_TIMEOUT + 10) == 0, lines
        assert time.monotonic() - start < SHUTDOWN_TIMEOUT


def test_a_worker_that_hangs_is_replaced_within_seconds_and_the_others_answer() -> None:
    with process(*SERVE, workers=2, models="cascade") as (running, url, _):
        until(lambda: all_ready(url), 120)
        hung = min(workers(running.pid))
        os.kill(hung, signal.SIGSTOP)
        start = time.monotonic()
        assert [detect(url) for _ in range(8)] == [200] * 8
        until(lambda: not is_running(hung))
        assert time.monotonic() - start < 6
        until(lambda: metrics(url).get('face_worker_restarts_total{reason="hung"}') == 1)
        until(lambda: all_ready(url))


def test_workers_that_cannot_start_end_the_service(tmp_path: Path) -> None:
    with process(*SERVE, workers=2, models_dir=tmp_path) as (running, _, lines):
        assert running.wait(60) == 1
    assert any("manifest.json" in line for line in lines), lines
    assert not any("Traceback" in line for line in lines), lines


def test_a_worker_that_cannot_start_later_leaves_the_others_alone(tmp_path: Path) -> None:
    models = Path(shutil.copytree("models", tmp_path / "models"))
    net = next(models.glob("cascade-pnet*.onnx"))
    content = net.read_bytes()
    with process(*SERVE, workers=2, models="cascade", models_dir=models) as (running, url, lines):
        until(lambda: all_ready(url), 120)
        assert metrics(url)["face_workers_wanted"] == 2
        net.write_bytes(content[:-100] + bytes(100))
        os.kill(min(workers(running.pid)), signal.SIGKILL)
        failed = 'face_worker_restarts_total{reason="failed-start"}'
        until(lambda: metrics(url).get(failed, 0) >= 2, 60)
        assert statuses(url, "/readyz") == {200}
        assert readiness(url) == "degraded"
        assert metrics(url)["face_ready"] == 1
        assert [detect(url) for _ in range(4)] == [200] * 4
        net.write_bytes(content)
        until(lambda: all_ready(url), 60)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
    assert any("sha256" in line for line in lines), lines
    assert not [line for line in lines if "Traceback" in line]


def test_workers_finish_their_requests_and_end_when_their_supervisor_is_killed() -> None:
    enlarged = io.BytesIO()
    Image.open(io.BytesIO(EXAMPLE)).resize((6000, 6000)).save(enlarged, "jpeg")

    def detect_slowly() -> int:
        files = {"image": enlarged.getvalue()}
        return http.post(f"{url}/detect?min_face_size=12", files=files, timeout=60).status_code

    with (
        process(*SERVE, workers=2, models="cascade") as (running, url, _),
        ThreadPoolExecutor() as clients,
    ):
        until(lambda: all_ready(url), 120)
        orphans, folders = workers(running.pid), metrics_folders(running.pid)
        assert len(orphans) == 2
        assert len(folders) == 1
        port = int(url.rpartition(":")[2])
        assert listens(port)
        work = clients.submit(detect_slowly)
        until(lambda: metrics(url).get("face_queue_running") == 1)
        running.kill()
        until(lambda: not listens(port), 2)
        assert not work.done()
        assert work.result(60) == 200
        until(lambda: not any(map(is_running, orphans)), 10)
        assert not any(folder.exists() for folder in folders)


def test_without_a_temporary_folder_several_workers_do_not_start() -> None:
    with process("-c", LITTLE_SPACE, workers=2) as (running, _, lines):
        assert running.wait(60) == 1
    assert "Set TMPDIR to a folder" in lines[-1], lines
    assert not any("Traceback" in line for line in lines), lines
