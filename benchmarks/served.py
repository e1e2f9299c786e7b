"""A service of this checkout in a process of its own, on a free port, and the memory it takes."""

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

_START = 300.0
_END = 60.0


@dataclass(frozen=True)
class Served:
    """Where a service listens, and its process."""

    url: str
    pid: int

    def memory_mb(self, what: str = "VmRSS") -> float:
        """MiB now (VmRSS), or the most ever (VmHWM), of the process and its children together."""
        return sum(_status(pid, what) for pid in [self.pid, *children(self.pid)]) / 1024


@contextmanager
def service(*, poll: float = 0.1, **settings: object) -> Iterator[Served]:
    """A warm service with these FACE_ settings, asked every `poll` seconds; it must end with status 0."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {f"FACE_{name}".upper(): str(value) for name, value in settings.items()}
    environment = {**os.environ, "FACE_LOG_LEVEL": "warning", **variables}
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            _await_ready(url, process, poll)
            yield Served(url, process.pid)
        finally:
            process.terminate()
            status = process.wait(_END)
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
        assert status == 0, f"the service ended with status {status}"


def _await_ready(url: str, process: "subprocess.Popen[bytes]", poll: float) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(poll)
    raise RuntimeError("the service did not get ready")


def _status(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))


def children(pid: int) -> list[int]:
    """The processes that this one started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
