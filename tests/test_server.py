"""Whole processes: how they end, and what takes the place of one that dies."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx
import pytest

from app import server
from app.settings import Settings
from tests.api.pictures import problem
from tests.servers import until

GRACE = 20
EXAMPLE = Path("app/api/example.jpg").read_bytes()

SLOW = """
import sys, time
from app.main import create_app
from app.settings import Settings
from app import server
from tests.fakes import fake_analyzer

calls = []

def slow():
    calls.append(1)
    if len(calls) > 1:  # the first is the warm-up
        time.sleep(float(sys.argv[1]))

settings = Settings(port=0)
server.log_to_stderr(settings)
sys.exit(server.serve(settings, lambda chosen: create_app(chosen, fake_analyzer(slow))))
"""


@contextmanager
def process(*command: str, **settings: object) -> Iterator[tuple["subprocess.Popen[str]", str, list[str]]]:
    """A server, the address it listens on, and the lines it has logged."""
    variables = {f"FACE_{name}".upper(): str(value) for name, value in settings.items()}
    running = subprocess.Popen(
        [sys.executable, *command], env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True
    )
    lines: list[str] = []

    def log() -> None:
        assert running.stderr is not None
        lines.extend(iter(running.stderr.readline, ""))

    reader = Thread(target=log, daemon=True)
    reader.start()
    try:
        until(lambda: address(lines) or running.poll() is not None, 120)
        yield running, address(lines), lines
    finally:
        running.kill()
        running.wait()
        reader.join(30)
        if running.stderr is not None:
            running.stderr.close()


def address(lines: list[str]) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", "".join(lines))
    return found.group() if found else ""


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def children(parent: int) -> set[int]:
    """The server processes below a supervisor; multiprocessing has a helper of its own there."""
    found = set()
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        command = Path(f"/proc/{pid}/cmdline").read_text()
        if "spawn_main" in command:
            found.add(int(pid))
    return found


def test_sigterm_finishes_what_runs_refuses_new_work_and_exits_with_0() -> None:
    with (
        process("-c", SLOW, "2", grace_s=GRACE) as (running, url, lines),
        ThreadPoolExecutor() as clients,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        until(lambda: is_ready(url), 120)
        work = clients.submit(lambda: httpx.post(f"{url}/detect", files={"image": EXAMPLE}, timeout=60))
        until(lambda: metric(client, "face_queue_running") == 1)
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        until(lambda: client.get("/readyz").status_code == 503)
        problem(client.get("/readyz"), 503, "not-ready")
        problem(client.post("/detect", files={"image": EXAMPLE}), 503, "not-ready")
        assert work.result(30).status_code == 200
        assert running.wait(GRACE) == 0
        assert time.monotonic() - start < GRACE, lines


def metric(client: httpx.Client, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def test_what_does_not_end_is_left_at_the_end_of_the_grace_time() -> None:
    with process("-c", SLOW, "60", grace_s=3) as (running, url, lines), ThreadPoolExecutor() as clients:
        until(lambda: is_ready(url), 120)
        with httpx.Client(base_url=url, timeout=30) as client:

            def ask() -> int:
                try:
                    return httpx.post(f"{url}/detect", files={"image": EXAMPLE}, timeout=60).status_code
                except httpx.TransportError:
                    return 0

            work = clients.submit(ask)
            until(lambda: metric(client, "face_queue_running") == 1)
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0, lines
        assert time.monotonic() - start < 3.5
        assert work.result(30) in (0, 503)


def test_a_worker_that_dies_is_replaced() -> None:
    command = ("-m", "app", "serve", "--port", "0", "--device", "cpu")
    with process(*command, workers=2, grace_s=GRACE) as (running, url, lines):
        until(lambda: is_ready(url), 120)
        until(lambda: len(children(running.pid)) == 2)
        before = children(running.pid)
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(children(running.pid)) == 2 and children(running.pid) != before)
        for _ in range(4):
            answer = httpx.post(f"{url}/detect", files={"image": EXAMPLE}, timeout=60)
            assert len(answer.json()["faces"]) == 1
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.wait(GRACE + 10) == 0, lines
        assert time.monotonic() - start < GRACE


def test_workers_that_cannot_start_end_the_service(tmp_path: Path) -> None:
    command = ("-m", "app", "serve", "--port", "0", "--device", "cpu")
    with process(*command, workers=2, models_dir=tmp_path) as (running, _, lines):
        assert running.wait(60) == 1
    assert any("manifest.json" in line for line in lines), lines


def test_workers_share_the_cores_and_the_grace_time() -> None:
    cores = len(os.sched_getaffinity(0))
    planned = server.plan(Settings(workers=2, grace_s=20), "cpu")
    assert (planned.workers, planned.threads, planned.grace_s) == (2, max(1, cores // 2), 19)
    assert server.plan(Settings(workers=2, threads=5), "cpu").threads == 5
    assert server.plan(Settings(), "cpu") == server.plan(Settings(), "cuda") == Settings()


def test_a_gpu_has_one_process(caplog: pytest.LogCaptureFixture) -> None:
    assert server.plan(Settings(device="auto", workers=4), "cuda").workers == 1
    assert "FACE_WORKERS=4 has no effect on cuda" in caplog.text
