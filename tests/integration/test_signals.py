"""SIGHUP and Ctrl-C, sent to real processes."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.workers import is_running, statuses, workers
from tests.processes import EXAMPLE, SERVE, SLOW, is_ready, process
from tests.servers import http, until

OLD, NEW, OTHER = (f"{name}-key-of-some-length" for name in ("old", "new", "other"))

IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Makes standard input the controlling terminal, and runs Python with the arguments."""

EARLY = """
import signal, sys

class OnImport:
    def find_spec(self, name, path=None, target=None):
        if name == "fastapi":
            signal.raise_signal(signal.SIGHUP)

sys.meta_path.insert(0, OnImport())
sys.argv = ["facet", *sys.argv[3:]]
from app.__main__ import main
main()
"""
"""A program that gets SIGHUP while it imports the service."""

pytestmark = pytest.mark.integration


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(OLD)
    return path


def test_sighup_gives_a_single_process_new_keys_and_ends_no_request(file: Path) -> None:
    with (
        process("-c", SLOW, "2", api_keys_file=file) as (running, url, lines),
        ThreadPoolExecutor() as clients,
    ):
        until(lambda: is_ready(url), 120)
        assert statuses(url, "/models", OLD) == {200}

        def detect() -> int:
            headers = {"X-API-Key": OLD}
            return http.post(
                f"{url}/detect", files={"image": EXAMPLE}, headers=headers, timeout=60
            ).status_code

        work = clients.submit(detect)
        time.sleep(0.5)
        file.write_text(NEW)
        running.send_signal(signal.SIGHUP)
        until(lambda: statuses(url, "/models", NEW, 1) == {200})
        assert statuses(url, "/models", OLD) == {401}
        assert work.result(60) == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0, lines
    assert not any(key in line for line in lines for key in (OLD, NEW)), lines


def test_without_a_key_file_sighup_changes_nothing() -> None:
    with process("-c", SLOW, "0") as (running, url, lines):
        until(lambda: is_ready(url), 120)
        running.send_signal(signal.SIGHUP)
        until(lambda: any("there is nothing to reload" in line for line in lines))
        assert statuses(url, "/models") == {200}


def test_all_workers_have_the_same_keys_until_sighup(file: Path) -> None:
    with process(*SERVE, workers=2, models="cascade", api_keys_file=file) as (running, url, lines):

        def replace_a_worker() -> None:
            before = workers(running.pid)
            os.kill(min(before), signal.SIGKILL)
            until(lambda: http.get(f"{url}/readyz", timeout=30).json() == {"status": "degraded"}, 30)
            until(lambda: http.get(f"{url}/readyz", timeout=30).json() == {"status": "ready"}, 60)

        until(lambda: is_ready(url) and http.get(f"{url}/readyz").json() == {"status": "ready"}, 120)
        file.write_text("abc")  # invalid, and no other key until SIGHUP
        replace_a_worker()
        assert statuses(url, "/models", times=40) == {401}
        assert statuses(url, "/models", "abc", times=40) == {401}
        assert statuses(url, "/models", OLD, times=40) == {200}

        running.send_signal(signal.SIGHUP)
        until(lambda: any("Line 1 is invalid" in line for line in lines))
        assert any(str(file) in line for line in lines)
        assert statuses(url, "/models", OLD, times=40) == {200}

        file.write_text(NEW)
        running.send_signal(signal.SIGHUP)
        until(lambda: sum("valid in this worker process now" in line for line in lines) == 2, 5)
        assert statuses(url, "/models", NEW, times=40) == {200}
        assert statuses(url, "/models", OLD, times=40) == {401}

        file.write_text(OTHER)
        replace_a_worker()
        assert statuses(url, "/models", NEW, times=40) == {200}
        assert statuses(url, "/models", OTHER, times=40) == {401}


@pytest.mark.parametrize("count", [1, 2])
def test_sighup_during_the_imports_gives_new_keys_after_the_start(file: Path, count: int) -> None:
    with process("-c", EARLY, *SERVE, workers=count, models="cascade", api_keys_file=file) as (
        running,
        url,
        lines,
    ):
        until(lambda: is_ready(url), 120)
        until(lambda: any("SIGHUP received: 1 API keys are valid now" in line for line in lines))
        assert running.poll() is None


def test_ctrl_c_ends_two_workers_in_order() -> None:
    with process(*SERVE, workers=2, models="cascade") as (running, url, lines):
        until(lambda: is_ready(url), 120)
        started = workers(running.pid)
        for pid in (*started, running.pid):  # as a terminal does
            os.kill(pid, signal.SIGINT)
        assert running.wait(60) == 0, lines
        assert not any(map(is_running, started))
    assert not any("Traceback" in line or "killed" in line for line in lines), lines


@pytest.mark.parametrize("count", [1, 2])
def test_a_closed_terminal_ends_the_service(count: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, *SERVE, "--port", str(port)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "FACE_WORKERS": str(count), "FACE_MODELS": "cascade"},
    )
    os.close(theirs)
    try:
        until(lambda: is_ready(f"http://127.0.0.1:{port}"), 120)
        started = workers(running.pid)
        assert len(started) == (0 if count == 1 else 2)
        os.close(ours)
        assert running.wait(60) == 0
        assert not any(map(is_running, started))
    finally:
        running.kill()
        running.wait()
