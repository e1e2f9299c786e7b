"""Start two workers where no file can be written, so that there is no temporary folder."""

import subprocess
import sys

from benchmarks.faults.service import Service

_COMMAND = ("prlimit", "--fsize=0:0", sys.executable, "-m", "app", "serve", "--port", "0", "--device", "cpu")


def run(service: Service) -> list[tuple[str, str]]:
    """Return how the start ends."""
    # Standard error is a pipe: the limit would also apply to a file.
    done = subprocess.run(
        ["env", "FACE_WORKERS=2", "FACE_LOG_LEVEL=warning", *_COMMAND],
        cwd=service.checkout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    lines = done.stderr.splitlines()
    service.require(len(lines) == 1 and "TMPDIR" in lines[0], f"{len(lines)} lines")
    return [
        (
            "two workers without a temporary folder",
            f"status {done.returncode}, {len(lines)} lines: {lines[-1]}",
        )
    ]
