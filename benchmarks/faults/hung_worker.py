"""Suspend one of two worker processes (SIGSTOP) under load."""

import os
import signal
import time

from benchmarks.faults.load import during_load
from benchmarks.faults.service import Running, Service, wait_until

_CLIENTS = 8
_SECONDS = 30
_REQUIRED_S = 6.0


def run(service: Service) -> list[tuple[str, str]]:
    """Return the responses by status, and the time until the worker is replaced."""
    with service.start(workers=2) as running:
        load, _, replaced = during_load(running, _CLIENTS, _SECONDS, _suspend)
    slowest = max(load.took)
    service.require(replaced < _REQUIRED_S, f"the worker was replaced after {replaced:.1f} s")
    return [
        ("responses by status (0: the connection was lost)", str(load.statuses)),
        ("slowest request", f"{slowest:.1f} s"),
        ("worker replaced after", f"{replaced:.1f} s" if replaced < _SECONDS else "never"),
    ]


def _suspend(running: Running) -> float:
    """Return the seconds until another process runs in place of the suspended one."""
    before = running.workers
    os.kill(before[0], signal.SIGSTOP)
    begun = time.perf_counter()
    wait_until(lambda: before[0] not in running.workers and len(running.workers) == len(before), 20)
    replaced = before[0] not in running.workers
    if not replaced:
        os.kill(before[0], signal.SIGCONT)
    return time.perf_counter() - begun if replaced else float("inf")
