"""Kill the parent of two worker processes (SIGKILL), and start the service on the same port."""

import os
import signal
import time
from pathlib import Path

from benchmarks.faults.service import Service, wait_until

_SECONDS = 10


def run(service: Service) -> list[tuple[str, str]]:
    """Return when the port is free and the workers have ended."""
    with service.start(workers=2) as running:
        time.sleep(3)  # until both have started
        workers = running.workers
        running.process.kill()
        running.process.wait()
        free = wait_until(lambda: not _listens(running.port), _SECONDS)
        ended = wait_until(lambda: not any(map(_runs, workers)), _SECONDS)
        for pid in filter(_runs, workers):
            os.kill(pid, signal.SIGKILL)
    service.require(free < 2, "the port is still in use")
    return [
        ("port free after", f"{free:.1f} s" if free < _SECONDS else "never"),
        ("workers ended after", f"{free + ended:.1f} s" if ended < _SECONDS else "never"),
    ]


def _listens(port: int) -> bool:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)


def _runs(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
