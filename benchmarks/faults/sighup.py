"""Send SIGHUP to a single process under load, and to one whose key file has a new key."""

import os
import signal
import tempfile
from pathlib import Path

import httpx

from benchmarks.faults.load import during_load
from benchmarks.faults.service import Running, Service, wait_until

_OLD, _NEW = "old-key-of-some-length", "new-key-of-some-length"
_CLIENTS = 4
_SECONDS = 8


def run(service: Service) -> list[tuple[str, str]]:
    """Return the responses by status, and when the new key is accepted."""
    with service.start(models="cascade,landmarks68,sface") as running:
        load, _, _ = during_load(running, _CLIENTS, _SECONDS, _hang_up)
    service.require(0 not in load.statuses, "requests were lost")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keys"
        file.write_text(_OLD)
        with service.start(api_keys_file=file, models="cascade,landmarks68,sface") as running:
            file.write_text(f"{_OLD}\n{_NEW}\n")
            _hang_up(running)
            accepted = wait_until(lambda: _accepts(running, _NEW), 5)
    service.require(accepted < 1, "the new key is not accepted")
    return [
        ("responses by status (0: the connection was lost)", str(load.statuses)),
        ("new key accepted after", f"{accepted:.2f} s" if accepted < 5 else "never"),
    ]


def _hang_up(running: Running) -> float:
    os.kill(running.pid, signal.SIGHUP)
    return 0.0


def _accepts(running: Running, key: str) -> bool:
    try:
        return httpx.get(f"{running.url}/models", headers={"X-API-Key": key}).is_success
    except httpx.TransportError:
        return False
