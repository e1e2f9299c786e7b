"""Runs services in separate processes on free ports, and reads their memory."""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

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
        return memory_mb(self.pid, what)

    def cpu_s(self) -> float:
        """Return the CPU time in seconds that the process, without its child processes, has taken."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def service(*, poll: float = 0.1, **settings: object) -> Iterator[Served]:
    """Run a service while the context is open. It must exit with status 0.

    Args:
        poll: seconds between two checks of readiness.
        settings: settings of the service, by the name of the variable without FACE_.

    Yields:
        The service, when it is ready.
    """
    port = free_port()
    variables = {f"FACE_{name}".upper(): str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    with running(command, {"FACE_LOG_LEVEL": "warning", **variables}) as process:
        url = f"http://127.0.0.1:{port}"
        await_ready(url, process, poll)
        yield Served(url, process.pid)
    assert process.returncode == 0, f"The service exited with status {process.returncode}."


def free_port() -> int:
    """Return a port of the loopback address that no process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], variables: Mapping[str, str], folder: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command while the context is open, then end it with SIGTERM and print what it wrote to stderr.

    Args:
        command: the command.
        variables: variables added to the environment.
        folder: working folder; that of this process if None.

    Yields:
        The process.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **variables}, stderr=log, cwd=folder)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(_EXIT_TIMEOUT_S)
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))


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
        with suppress(OSError, http.client.HTTPException):
            if get(f"{url}/readyz")[0] == 200:
                return
        time.sleep(poll)
    raise RuntimeError("The service did not become ready.")


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """Return the memory of a process and all its descendants in MiB.

    A page that several of them share counts once for each.

    Args:
        pid: process id.
        what: `VmRSS` for the resident memory, `VmHWM` for its peak.
    """
    return _status(pid, what) / 1024 + sum(memory_mb(child, what) for child in children(pid))


def get(url: str) -> tuple[int, bytes]:
    """Return the status and the body of the response to a GET request of a service on this machine.

    Raises:
        OSError: the service does not respond within 5 seconds.
        HTTPException: the response is not HTTP.
    """
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=5)
    try:
        connection.request("GET", place.path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _status(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))


def children(pid: int) -> list[int]:
    """Return the process ids of the child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
