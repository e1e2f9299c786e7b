"""Damage a model file while the service runs, and kill one of two worker processes."""

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.faults.service import Service, wait_until

_SECONDS = 20


def run(service: Service) -> list[tuple[str, str]]:
    """Return whether the healthy worker goes on, and when the other one is back after the repair."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(shutil.copytree(service.checkout / "models", Path(folder) / "models"))
        net = next(models.glob("cascade-pnet*.onnx"))
        content = net.read_bytes()
        with service.start(workers=2, models="cascade,landmarks68,sface", models_dir=models) as running:
            wait_until(lambda: len(running.workers) == 2)
            time.sleep(3)
            net.write_bytes(bytes(100) + content[100:])
            os.kill(running.workers[0], signal.SIGKILL)
            wait_until(lambda: running.process.poll() is not None, _SECONDS)
            ended = running.process.poll()
            if ended is not None:
                service.require(False, "the service ended")
                return [(f"after {_SECONDS} s", f"all workers have ended, status {ended}")]
            ready = httpx.get(f"{running.url}/readyz").text
            net.write_bytes(content)
            back = wait_until(lambda: httpx.get(f"{running.url}/readyz").json() == {"status": "ready"})
            lines = sum("failed to start" in line for line in running.log)
    service.require(back < 60, "the worker did not come back")
    return [
        (f"after {_SECONDS} s", f"/readyz answers {ready}; {lines} starts have failed"),
        ("two workers ready again after the repair", f"{back:.1f} s"),
    ]
