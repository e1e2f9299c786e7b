"""One wanted worker, as its supervisor sees it: a process with a pipe, or the time of the next start."""

import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Literal, Protocol, get_args

from app.processes.worker_pipe import State

BEAT_S = 0.5
"""Seconds between two messages to a worker."""

_SILENCE_S = 4.0
"""Seconds without an answer after which a ready worker hangs. With images of 50 megapixels from 11 clients on
2 busy cores, no answer took longer than 0.5 s."""

_START_SILENCE_S = 120.0
"""The same for a worker that has not been ready. Its event loop starts after the imports."""

_MAX_DELAY_S = 60.0
"""Maximum seconds before the next start of a worker whose replacements end soon."""

_STABLE_S = 60.0
"""A worker that was ready for so many seconds is replaced at once, whatever happened before."""

_BLOCKED = (signal.SIGINT, signal.SIGHUP)
"""Signals that a terminal sends to all processes. Workers block them, because the supervisor handles them."""

RestartReason = Literal["died", "hung", "failed-start"]
REASONS: tuple[RestartReason, ...] = get_args(RestartReason)


class Program(Protocol):
    """What each worker runs."""

    @property
    def keys(self) -> frozenset[str]:
        """The valid API keys."""

    def start(self, connection: Connection) -> BaseProcess:
        """Start a process that uses these keys and passes its end of the pipe to `follow`."""

    def reload(self) -> None:
        """Read the keys again."""


@dataclass
class Worker:
    """One wanted worker.

    Attributes:
        process: the process; None while the worker waits for its next start.
        connection: the supervisor's end of the pipe; None when it is closed.
        ready_at: the time at which the process became ready; None before that.
        sent: the state that was sent last; None before the first.
        answered: whether the process has answered it.
        missed: number of consecutive beats without an answer. Beats are counted instead of seconds, so that
            no worker is killed after supervisor and workers were suspended together.
        hung: whether the process was killed because it did not answer.
        failures: number of consecutive processes that ended soon after their start.
        due: the time of the next start.
    """

    process: BaseProcess | None = None
    connection: Connection | None = None
    ready_at: float | None = None
    sent: State | None = None
    answered: bool = True
    missed: int = 0
    hung: bool = False
    failures: int = 0
    due: float = 0.0

    @property
    def pid(self) -> int:
        """The process id; 0 if there is no process."""
        return (self.process.pid if self.process else None) or 0

    @property
    def has_ended(self) -> bool:
        """Whether there is a process that has ended."""
        return self.process is not None and self.process.exitcode is not None

    @property
    def reason(self) -> RestartReason:
        """Why the process has ended."""
        return "hung" if self.hung else "died" if self.ready_at is not None else "failed-start"

    def start(self, program: Program) -> None:
        """Start the process.

        Raises:
            OSError: the system allows no further process.
        """
        ours, theirs = Pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)  # the new process inherits the mask
        try:
            self.process = program.start(theirs)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
            theirs.close()
        self.connection, self.sent, self.answered, self.missed = ours, None, True, 0

    def send(self, state: State) -> None:
        """Send a state, unless the last one is unanswered."""
        if self.connection is not None and self.answered:
            self.sent, self.answered = state, False
            with suppress(OSError):  # the process has just ended
                self.connection.send(state)

    def receive(self) -> bool:
        """Read the answers that have arrived.

        Returns:
            Whether the process has become ready.
        """
        was_ready = self.ready_at is not None
        while self.connection is not None:
            try:
                if not self.connection.poll():
                    break
                is_ready = self.connection.recv()
            except (EOFError, OSError):
                self._close()
                break
            self.answered, self.missed = True, 0
            if is_ready and self.ready_at is None:
                self.ready_at = time.monotonic()
        return self.ready_at is not None and not was_ready

    def beat(self, state: State) -> bool:
        """Send a state, or count a missing answer. Call it every `BEAT_S` seconds.

        Returns:
            Whether the process hangs.
        """
        if self.answered:
            self.send(state)
            return False
        self.missed += 1
        limit = _START_SILENCE_S if self.ready_at is None else _SILENCE_S
        return self.missed * BEAT_S >= limit

    def plan_next_start(self) -> float:
        """Forget the process, which has ended, and set the time of the next start.

        Returns:
            The seconds until then: 0, or, if replacements end soon, 1, 2, 4, ... and at most `_MAX_DELAY_S`.
        """
        now = time.monotonic()
        if self.ready_at is not None and now - self.ready_at >= _STABLE_S:
            self.failures = 0
        delay = min(_MAX_DELAY_S, 2.0 ** min(self.failures - 1, 10)) if self.failures else 0.0
        self.failures += 1
        self.due = now + delay
        self.process, self.ready_at, self.hung = None, None, False
        self._close()
        return delay

    def _close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None
