"""The supervisor with fake processes. tests/integration has real ones."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.processes import supervisor, worker
from app.processes.signals import Terminal
from app.processes.supervisor import Supervisor
from app.processes.worker import BEAT_S, RestartReason, Worker
from app.processes.worker_pipe import State
from tests.servers import until

OLD, NEW = frozenset({"old-key-of-some-length"}), frozenset({"new-key-of-some-length"})


def set_clock(monkeypatch: pytest.MonkeyPatch, now: Callable[[], float]) -> None:
    """Replace the clock of the supervisor, and not that of the process, which runs other services, too."""
    for module in (supervisor, worker):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=now))


class FakeProcess:
    """A worker process that answers on its end of the pipe, as long as `answers` is true."""

    pids = count(1000)

    def __init__(self, connection: Connection, ready: bool, answers: bool) -> None:
        self.pid = next(FakeProcess.pids)
        self.exitcode: int | None = None
        self.ready = ready
        self.answers = answers
        self.states: list[State] = []
        self.signals: list[int] = []
        self.sentinel, self._alive = os.pipe()
        self._connection = connection
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def end(self, status: int) -> None:
        if self.exitcode is None:
            self.exitcode = status
            os.close(self._alive)

    def terminate(self) -> None:
        self.signals.append(signal.SIGTERM)
        if self.answers:
            self.end(0)

    def kill(self) -> None:
        self.signals.append(signal.SIGKILL)
        self.end(-signal.SIGKILL)

    def _serve(self) -> None:
        while self.exitcode is None:
            if self.answers and self._connection.poll(0.005):
                try:
                    self.states.append(self._connection.recv())
                    self._connection.send(self.ready)
                except (EOFError, OSError):
                    return


class FakeProgram:
    """Starts fake processes. `fails` makes the next ones end before they are ready."""

    def __init__(self) -> None:
        self.keys = OLD
        self.processes: list[FakeProcess] = []
        self.fails: list[int] = []
        self.answers = True

    def start(self, connection: Connection) -> Any:
        own = Connection(os.dup(connection.fileno()))
        process = FakeProcess(own, not self.fails, self.answers)
        self.processes.append(process)
        if self.fails:
            process.end(self.fails.pop(0))
        return process

    def reload(self) -> None:
        self.keys = NEW


class Restarts(list[RestartReason]):
    """The observer: a list of reasons."""

    def restarted(self, pid: int, reason: RestartReason) -> None:
        self.append(reason)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProgram]:
    for module in (supervisor, worker):
        monkeypatch.setattr(module, "BEAT_S", 0.01)
    monkeypatch.setattr(worker, "_SILENCE_S", 0.1)
    monkeypatch.setattr(worker, "_START_SILENCE_S", 0.3)
    made = FakeProgram()
    yield made
    for process in made.processes:
        process.end(0)


def run(
    program: FakeProgram, story: Callable[[], None], timeout_s: float = 5, wait: bool = True
) -> tuple[bool, Restarts]:
    """Run a supervisor of two workers while another thread tells a story, and then sends SIGTERM.

    The story begins when both workers are ready, unless `wait` is false.
    """
    restarts, faults, over = Restarts(), [], threading.Event()

    def tell() -> None:
        try:
            until(lambda: ready(program) == 2 or over.is_set() or not wait)
            story()
        except BaseException as fault:
            faults.append(fault)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    watched = Supervisor(2, program, restarts, timeout_s)
    program.supervisor = watched  # type: ignore[attr-defined]
    thread = threading.Thread(target=tell)
    thread.start()
    handler = signal.signal(signal.SIGTERM, lambda *_: None)  # for a signal that comes after the supervisor
    try:
        succeeded = watched.run()
        over.set()
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, handler)
    if faults:
        raise faults[0]
    return succeeded, restarts


def ready(program: FakeProgram) -> int:
    return cast("Supervisor", program.supervisor)._ready  # type: ignore[attr-defined]


def test_a_signal_ends_the_workers(program: FakeProgram) -> None:
    succeeded, restarts = run(program, lambda: None)
    assert succeeded
    assert restarts == []
    assert [process.signals for process in program.processes] == [[signal.SIGTERM]] * 2


def test_a_worker_that_dies_is_replaced_at_once(
    program: FakeProgram, caplog: pytest.LogCaptureFixture
) -> None:
    def story() -> None:
        program.processes[0].end(-signal.SIGKILL)
        until(lambda: len(program.processes) == 3 and ready(program) == 2, 0.9)

    assert run(program, story) == (True, ["died"])
    assert (
        f"Worker process {program.processes[0].pid} died with status -9. It is replaced now." in caplog.text
    )


def test_a_worker_that_does_not_answer_is_killed_and_replaced(program: FakeProgram) -> None:
    def story() -> None:
        program.processes[1].answers = False
        until(lambda: len(program.processes) == 3 and ready(program) == 2)

    assert run(program, story) == (True, ["hung"])
    assert program.processes[1].signals == [signal.SIGKILL]
    assert program.processes[0].signals == [signal.SIGTERM]


def test_a_worker_that_starts_may_be_silent_for_longer(program: FakeProgram) -> None:
    def story() -> None:
        program.answers = False
        program.processes[0].end(1)
        until(lambda: len(program.processes) == 3)
        replacement = program.processes[2]
        time.sleep(0.2)
        assert replacement.exitcode is None
        until(lambda: replacement.signals == [signal.SIGKILL])

    assert run(program, story)[0]


def test_a_suspension_of_the_machine_is_no_silence_of_the_workers(
    program: FakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock jumps by an hour between two beats."""
    ahead = [0.0]
    set_clock(monkeypatch, lambda: time.monotonic() + ahead[0])

    def story() -> None:
        ahead[0] = 3600.0
        time.sleep(0.3)

    assert run(program, story) == (True, [])


def test_a_worker_that_was_ready_may_die_before_the_others_are(program: FakeProgram) -> None:
    def story() -> None:
        until(lambda: len(program.processes) == 2)
        program.processes[0].answers = True
        until(lambda: ready(program) == 1)
        program.answers = program.processes[1].answers = True
        program.processes[0].end(-signal.SIGKILL)
        until(lambda: len(program.processes) == 3 and ready(program) == 2)

    program.answers = False
    assert run(program, story, wait=False) == (True, ["died"])


def test_the_first_start_fails_as_a_whole(program: FakeProgram, caplog: pytest.LogCaptureFixture) -> None:
    program.fails = [1]
    succeeded, restarts = run(program, lambda: None)
    assert not succeeded
    assert restarts == []
    assert program.processes[1].signals == [signal.SIGTERM]
    assert [r.levelno for r in caplog.records if r.levelno > logging.ERROR] == [logging.CRITICAL]


def test_a_later_start_that_fails_is_tried_again_and_the_others_go_on(
    program: FakeProgram, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "_MAX_DELAY_S", 0.1)

    def story() -> None:
        healthy = program.processes[1]
        program.fails = [1, 1]
        program.processes[0].end(-signal.SIGSEGV)
        until(lambda: healthy.states[-1].degraded)
        until(lambda: len(program.processes) == 5 and ready(program) == 2)
        until(lambda: not healthy.states[-1].degraded)
        assert healthy.exitcode is None

    assert run(program, story) == (True, ["died", "failed-start", "failed-start"])
    assert caplog.text.count("failed to start with status 1. It is replaced in") == 2


def test_a_process_that_the_system_refuses_is_a_failed_start(
    program: FakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = program.start

    def refuse(connection: Connection) -> Any:
        monkeypatch.setattr(program, "start", start)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def story() -> None:
        monkeypatch.setattr(program, "start", refuse)
        program.processes[0].end(-signal.SIGKILL)
        until(lambda: len(program.processes) == 3 and ready(program) == 2)

    assert run(program, story) == (True, ["died", "failed-start"])


def test_sighup_gives_every_worker_the_new_keys(program: FakeProgram) -> None:
    def story() -> None:
        assert all(process.states[-1].keys == OLD for process in program.processes)
        os.kill(os.getpid(), signal.SIGHUP)
        until(lambda: all(process.states[-1].keys == NEW for process in program.processes))
        program.processes[0].end(-signal.SIGKILL)
        until(lambda: len(program.processes) == 3 and bool(program.processes[2].states))
        assert {state.keys for state in program.processes[2].states} == {NEW}

    assert run(program, story) == (True, ["died"])


def test_a_closed_terminal_ends_the_workers(program: FakeProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Terminal, "is_closed", lambda terminal: True)

    def story() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        until(lambda: all(process.exitcode == 0 for process in program.processes))

    assert run(program, story)[0]
    assert program.keys == OLD


def test_a_worker_that_does_not_end_is_killed(program: FakeProgram) -> None:
    def story() -> None:
        program.processes[0].answers = False

    begun = time.monotonic()
    assert run(program, story, timeout_s=0.3)[0]
    assert 0.3 <= time.monotonic() - begun < 5
    assert program.processes[0].signals[-1] == signal.SIGKILL
    assert program.processes[1].signals == [signal.SIGTERM]


def test_the_delays_of_a_worker_whose_replacements_end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    set_clock(monkeypatch, lambda: now[0])
    lost = Worker()
    assert [lost.plan_next_start() for _ in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    for _ in range(2000):
        lost.plan_next_start()
    lost.ready_at = now[0]
    assert lost.plan_next_start() == 60
    lost.ready_at = now[0]
    now[0] += 60
    assert lost.plan_next_start() == 0
    assert lost.due == now[0]


def test_a_hung_worker_is_noticed_within_five_seconds() -> None:
    assert worker._SILENCE_S + 2 * BEAT_S <= 5
