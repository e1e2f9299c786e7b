"""Send SIGTERM under load. Admitted requests must be answered, and the exit status must be 0."""

import os
import signal
import time
from collections import Counter

from benchmarks.faults.load import during_load
from benchmarks.faults.service import Running, Service


def run(service: Service) -> list[tuple[str, str]]:
    """Return the responses to requests that were sent before the signal, and the time to the end."""
    with service.start() as running:
        load, told, ended = during_load(running, 8, 8, _end)
        status = running.process.returncode
    before = Counter(s for due, s in zip(load.due, load.status, strict=True) if due < told)
    service.require(set(before) <= {200, 503} and set(load.status) <= {0, 200, 503}, f"{dict(before)}")
    service.require(status == 0, f"exit status {status}")
    return [
        ("responses by status to requests before the signal", str(dict(sorted(before.items())))),
        ("exit status, seconds after the signal", f"{status}, {ended:.1f} s"),
    ]


def _end(running: Running) -> float:
    """Return the seconds from SIGTERM to the end of the process."""
    os.kill(running.pid, signal.SIGTERM)
    begun = time.perf_counter()
    running.process.wait(60)
    return time.perf_counter() - begun
