"""Real server processes that are killed, or that do not end. tests/test_server.py tests the same in parts."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.processes import EXAMPLE, SERVE, SLOW, is_ready, metric, process
from tests.servers import client_of, http, until

SHUTDOWN_TIMEOUT = 20

pytestmark = pytest.mark.integration


def children(parent: int) -> set[int]:
    """Return the worker processes of a supervisor, without the resource tracker of multiprocessing."""
    found = set()
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        command = Path(f"/proc/{pid}/cmdline").read_text()
        if "spawn_main" in command:
            found.add(int(pid))
    return found


def test_what_does_not_end_is_left_at_the_end_of_the_shutdown_time() -> None:
    with (
        process("-c", SLOW, "60", shutdown_timeout_s=3) as (running, url, lines),
        ThreadPoolExecutor() as clients,
    ):
        until(lambda: is_ready(url), 120)
        with client_of(url) as client:

            def ask() -> int:
                try:
                    return http.post(f"{url}/detect", files={"image": EXAMPLE}, timeout=60).status_code
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
    with process(*SERVE, workers=2, shutdown_timeout_s=SHUTDOWN_TIMEOUT) as (running, url, lines):
        until(lambda: is_ready(url), 120)
        until(lambda: len(children(running.pid)) == 2)
        before = children(running.pid)
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(children(running.pid)) == 2 and children(running.pid) != before)
        for _ in range(4):
            answer = http.post(f"{url}/detect", files={"image": EXAMPLE}, timeout=60)
            assert len(answer.json()["faces"]) == 1
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.wait(SHUTDOWN_TIMEOUT + 10) == 0, lines
        assert time.monotonic() - start < SHUTDOWN_TIMEOUT


def test_workers_that_cannot_start_end_the_service(tmp_path: Path) -> None:
    with process(*SERVE, workers=2, models_dir=tmp_path) as (running, _, lines):
        assert running.wait(60) == 1
    assert any("manifest.json" in line for line in lines), lines
