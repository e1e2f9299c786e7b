"""The service of a checkout, as the fault scenarios start it."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.served import Served, await_ready, children

_EXIT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Running(Served):
    """A running service.

    Attributes:
        process: the process, or the parent of the worker processes.
        log_file: the file that has its standard error.
    """

    process: "subprocess.Popen[bytes]"
    log_file: Path

    @property
    def port(self) -> int:
        """The port that the service listens on."""
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> list[str]:
        """The lines of standard error so far."""
        return self.log_file.read_text(errors="replace").splitlines()

    @property
    def workers(self) -> list[int]:
        """The process ids of the worker processes. Multiprocessing also starts a process of its own."""
        found = []
        for pid in children(self.pid):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        return found


class Service:
    """Starts the service of one checkout.

    Args:
        checkout: folder of the checkout, whose code and models run.

    Attributes:
        checkout: the same folder.
        missed: descriptions of the requirements that the service does not meet.
    """

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.missed: list[str] = []

    def require(self, met: bool, description: str) -> None:
        """Record a requirement that the service does not meet."""
        if not met:
            self.missed.append(description)

    @contextmanager
    def start(
        self,
        *,
        wait: bool = True,
        variables: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        host: str = "127.0.0.1",
        **settings: object,
    ) -> Iterator[Running]:
        """Run the service while the context is open, and end it by SIGTERM, then by SIGKILL.

        Args:
            wait: whether to wait until the service is ready.
            variables: further environment variables.
            prefix: a command that runs the command of the service, for example `prlimit`.
            host: the address that it listens on.
            settings: settings of the service, by the name of the variable without FACE_.

        Yields:
            The running service.

        Raises:
            RuntimeError: the service did not become ready.
        """
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = {
            **os.environ,
            "FACE_LOG_LEVEL": "warning",
            **{f"FACE_{name}".upper(): str(value) for name, value in settings.items()},
            **(variables or {}),
        }
        command = [*prefix, sys.executable, "-m", "app", "serve", "--host", host, "--port", str(port)]
        with tempfile.NamedTemporaryFile(suffix=".log") as log:
            process = subprocess.Popen(command, cwd=self.checkout, env=environment, stderr=log)
            running = Running(f"http://127.0.0.1:{port}", process.pid, process, Path(log.name))
            try:
                if wait:
                    await_ready(running.url, process)
                yield running
            finally:
                workers = running.workers if process.poll() is None else []
                process.terminate()
                try:
                    process.wait(_EXIT_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    for pid in [*workers, process.pid]:
                        os.kill(pid, 9)
                    process.wait()


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0, poll_s: float = 0.05) -> float:
    """Wait until the condition holds.

    Args:
        condition: is called until it returns True.
        timeout_s: maximum seconds.
        poll_s: seconds between two calls.

    Returns:
        The seconds until the condition held; infinity if it did not.
    """
    begun = time.perf_counter()
    while time.perf_counter() - begun < timeout_s:
        if condition():
            return time.perf_counter() - begun
        time.sleep(poll_s)
    return float("inf")
