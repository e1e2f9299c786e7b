"""Kill one of two worker processes under load. Only its running requests may fail; it is replaced."""

import os
import signal

import httpx

from benchmarks.faults.load import during_load
from benchmarks.faults.service import Running, Service, wait_until

_CLIENTS = 8
_SECONDS = 30


def run(service: Service) -> list[tuple[str, str]]:
    """Return the responses by status and the time until two workers are ready again."""
    with service.start(workers=2) as running:
        load, _, replaced = during_load(running, _CLIENTS, _SECONDS, _kill)
    broken = sum(status != 200 for status in load.status)
    service.require(set(load.status) <= {0, 200} and broken <= _CLIENTS, f"responses {load.statuses}")
    service.require(replaced < 30, f"replaced after {replaced:.1f} s")
    return [
        ("responses by status (0: the connection was lost)", str(load.statuses)),
        ("two workers ready again after", f"{replaced:.1f} s"),
    ]


def _kill(running: Running) -> float:
    """Return the seconds from killing a worker process until as many are ready as before."""
    before = running.workers
    os.kill(before[0], signal.SIGKILL)
    missed = False

    def ready_again() -> bool:
        nonlocal missed
        ready = _ready(running.url)
        missed = missed or ready < len(before)
        return missed and ready == len(before)

    return wait_until(ready_again, 120, 0.1)


def _ready(url: str) -> int:
    """Return the number of worker processes that are ready."""
    try:
        lines = httpx.get(f"{url}/metrics", timeout=30).text.splitlines()
    except httpx.TransportError:
        return 0
    values = [line.rsplit(" ", 1)[1] for line in lines if line.startswith(("face_ready ", "face_ready{"))]
    return round(sum(map(float, values)))
