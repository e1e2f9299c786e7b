"""The supervisor: starts worker processes, and replaces those that end or hang.

A worker is in one of three states:

    starting  its process runs, and has not been ready.
    ready     its process accepts connections, and has answered within the last seconds.
    waiting   it has no process. The first replacement starts at once. If it ends soon, too, the supervisor
              waits 1, 2, 4, ... and at most 60 s before each further start.

Until all workers have been ready once, a worker that cannot start makes the whole start fail. Later the
others go on.
"""

import logging
import signal
import time
from multiprocessing.connection import wait
from typing import Protocol

from app.processes.signals import SignalQueue, Terminal
from app.processes.worker import BEAT_S, Program, RestartReason, Worker
from app.processes.worker_pipe import State

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Records what happens to workers."""

    def restarted(self, pid: int, reason: RestartReason) -> None:
        """Record that a worker has ended and will be replaced."""


class Supervisor:
    """Runs worker processes until SIGTERM, SIGINT or the end of the terminal. SIGHUP reloads the keys.

    Args:
        count: number of wanted workers.
        program: what each of them runs.
        observer: is told which workers are replaced.
        timeout_s: maximum seconds until the workers have ended after a signal; then they are killed.
    """

    def __init__(self, count: int, program: Program, observer: Observer, timeout_s: float) -> None:
        self._workers = [Worker() for _ in range(count)]
        self._program = program
        self._observer = observer
        self._timeout_s = timeout_s
        self._signals = SignalQueue()
        self._terminal = Terminal()
        self._has_started = False
        self._has_failed = False
        self._kill_at: float | None = None  # when the remaining workers are killed; None before the stop

    def run(self) -> bool:
        """Run the workers until a signal ends them.

        Returns:
            Whether all workers became ready, or a signal came before.
        """
        with self._signals.collecting():
            next_beat = time.monotonic()
            while self._kill_at is None or any(worker.process for worker in self._workers):
                self._start_due()
                self._wait(next_beat - time.monotonic())
                self._handle_signals()
                self._check_workers()
                if time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + BEAT_S
                    self._beat()
        return not self._has_failed

    @property
    def _state(self) -> State:
        return State(self._program.keys, degraded=self._ready < len(self._workers))

    @property
    def _ready(self) -> int:
        return sum(worker.ready_at is not None for worker in self._workers)

    def _start_due(self) -> None:
        for worker in self._workers:
            if self._kill_at is None and worker.process is None and time.monotonic() >= worker.due:
                try:
                    worker.start(self._program)
                except OSError as error:
                    self._replace(worker, f"A worker process cannot be started: {error.strerror}.")

    def _wait(self, seconds: float) -> None:
        """Wait until a worker answers or ends, or a signal arrives, but at most so long."""
        connections = [worker.connection for worker in self._workers if worker.connection]
        sentinels = [worker.process.sentinel for worker in self._workers if worker.process]
        wait([self._signals.descriptor, *connections, *sentinels], max(0.0, seconds))

    def _handle_signals(self) -> None:
        for number in self._signals.take():
            if number == signal.SIGHUP and not self._terminal.is_closed():
                self._program.reload()
            else:
                log.info("%s received: the worker processes end.", signal.Signals(number).name)
                self._stop()

    def _check_workers(self) -> None:
        for worker in self._workers:
            if worker.receive():
                ready, wanted = self._ready, len(self._workers)
                log.info("Worker process %d is ready; %d of %d are.", worker.pid, ready, wanted)
                self._has_started = self._has_started or ready == wanted
            if worker.has_ended:
                assert worker.process is not None
                verb = "failed to start" if worker.reason == "failed-start" else "died"
                self._replace(
                    worker, f"Worker process {worker.pid} {verb} with status {worker.process.exitcode}."
                )
        for worker in self._workers:
            if worker.sent != self._state:
                worker.send(self._state)

    def _replace(self, worker: Worker, what: str) -> None:
        """Plan the next start of a worker that has ended. If the first start fails, the service stops."""
        pid, reason = worker.pid, worker.reason
        delay = worker.plan_next_start()
        if self._kill_at is not None:
            return
        if reason == "failed-start" and not self._has_started:
            log.critical("%s The service stops, because its first start failed.", what)
            self._has_failed = True
            self._stop()
            return
        self._observer.restarted(pid, reason)
        when = f"in {delay:.0f} s" if delay else "now"
        log.error("%s It is replaced %s. %d of %d are ready.", what, when, self._ready, len(self._workers))

    def _beat(self) -> None:
        """Send each worker the state. Kill those that hang, and those that have not ended in time."""
        for worker in self._workers:
            hangs = worker.beat(self._state)
            if worker.process is None:
                continue
            if self._kill_at is None and hangs and not worker.hung:
                log.error("Worker process %d does not answer and is killed.", worker.pid)
                worker.hung = True
                worker.process.kill()
            elif self._kill_at is not None and time.monotonic() >= self._kill_at:
                log.error("Worker process %d has not ended in time and is killed.", worker.pid)
                worker.process.kill()

    def _stop(self) -> None:
        """Let the workers finish their requests and end."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._timeout_s
            for worker in self._workers:
                if worker.process is not None:
                    worker.process.terminate()
