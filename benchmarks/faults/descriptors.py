"""A limit of 64 file descriptors that is set after the start, and 100 idle connections."""

import subprocess

from benchmarks.faults.attack import attacked, observe
from benchmarks.faults.idle_connections import idle
from benchmarks.faults.service import Service


def run(service: Service) -> list[tuple[str, str]]:
    """Return the number of log lines of 20 seconds."""
    with service.start() as running:
        subprocess.run(["prlimit", "--nofile=64:64", f"--pid={running.pid}"], check=True)
        with attacked(running.port, idle, 100):
            health = observe(running.url, 20)
        lines = len(running.log)
    service.require(lines < 20, f"{lines} lines")
    return [("log lines in 20 s", str(lines)), ("/detect", health.detect)]
