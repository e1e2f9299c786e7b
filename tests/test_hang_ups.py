"""SIGHUP during the start of the service. tests/integration/test_signals.py sends it to real services."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app import server
from app.main import create_app
from app.processes.signals import SignalQueue, deliver_hang_ups, keep_hang_ups
from app.settings import Settings
from tests.processes import SLOW, is_ready, process
from tests.servers import until

IN_MAKE = SLOW.replace("import sys", "import signal, sys").replace(
    "lambda chosen:", "lambda chosen: signal.raise_signal(signal.SIGHUP) or"
)
"""A program that gets SIGHUP while it makes the application."""

CLOSED = """
import signal
from app.processes import signals
signals.Terminal.is_closed = lambda terminal: True
signals.keep_hang_ups()
signal.raise_signal(signal.SIGHUP)
"""


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_it_is_handled_when_the_supervisor_collects_signals() -> None:
    keep_hang_ups()
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    queue = SignalQueue()
    with queue.collecting():
        assert queue.take() == [signal.SIGHUP]
        deliver_hang_ups()
        assert queue.take() == []


def test_the_start_keeps_it_from_its_first_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(settings: Settings, kind: str) -> Settings:
        signal.raise_signal(signal.SIGHUP)
        raise InterruptedError

    monkeypatch.setattr(server, "plan", plan)
    with pytest.raises(InterruptedError):
        server.serve(Settings(device="cpu", port=0), create_app)
    queue = SignalQueue()
    with queue.collecting():
        assert queue.take() == [signal.SIGHUP]


def test_a_single_process_handles_it_when_it_has_started() -> None:
    with process("-c", IN_MAKE, "0") as (running, url, lines):
        until(lambda: is_ready(url), 120)
        until(lambda: any("there is nothing to reload" in line for line in lines))
        assert running.poll() is None


def test_a_closed_terminal_ends_the_start() -> None:
    assert subprocess.run([sys.executable, "-c", CLOSED], timeout=60).returncode == -signal.SIGHUP
