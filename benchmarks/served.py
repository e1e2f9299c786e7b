"""Runs the service of this checkout in a separate process on a free port, and reads its memory."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

_START_TIMEOUT_S = 300.0
_EXIT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Served:
    """A running service.

    Attributes:
        url: address of the service.
        pid: process id of the service.
    """

    url: str
    pid: int

    def memory_mb(self, what: str = "VmRSS") -> float:
        """Return the memory of the process and its child processes in MiB.

        Args:
            what: `VmRSS` for the resident memory, `VmHWM` for its peak.
        """
        return sum(_status(pid, what) for pid in [self.pid, *children(self.pid)]) / 1024


@contextmanager
def service(*, poll: float = 0.1, **settings: object) -> Iterator[Served]:
    """Run a service while the context is open. It must exit with status 0.

    Args:
        poll: seconds between two checks of readiness.
        settings: settings of the service, by the name of the variable without FACE_.

    Yields:
        The service, when it is ready.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {f"FACE_{name}".upper(): str(value) for name, value in settings.items()}
    environment = {**os.environ, "FACE_LOG_LEVEL": "warning", **variables}
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            await_ready(url, process, poll)
            yield Served(url, process.pid)
        finally:
            process.terminate()
            status = process.wait(_EXIT_TIMEOUT_S)
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
        assert status == 0, f"The service exited with status {status}."


def await_ready(url: str, process: "subprocess.Popen[bytes]", poll: float = 0.1) -> None:
    """Wait until the service is ready.

    Args:
        url: address of the service.
        process: its process.
        poll: seconds between two checks.

    Raises:
        RuntimeError: the process ended, or the service is not ready after five minutes.
    """
    end = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(poll)
    raise RuntimeError("The service did not become ready.")


def _status(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))


def children(pid: int) -> list[int]:
    """Return the process ids of the child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
