"""The metrics of all worker processes, from the files that they share."""

import glob
import os
import re
import struct
import time

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

_ATTEMPTS, _PAUSE_S = 10, 0.01
"""Number of times that the files are read, and the time between two reads in seconds."""


def text(folder: str) -> bytes:
    """Return the metrics of all processes in the text format of Prometheus.

    A process that starts creates its files empty and fills them in steps. A read in between fails (an empty
    file, an entry beyond its end, half of a name), and is repeated.

    Args:
        folder: the folder of the files.
    """
    _forget_dead(folder)
    for _ in range(_ATTEMPTS - 1):
        try:
            return _read(folder)
        except (struct.error, RuntimeError, ValueError):
            time.sleep(_PAUSE_S)
    return _read(folder)


def _read(folder: str) -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _forget_dead(folder: str) -> None:
    """Remove the gauges of worker processes that have died."""
    found = (re.search(r"gauge_live\w+_(\d+)\.db$", name) for name in glob.glob(f"{folder}/gauge_live*.db"))
    for pid in {int(match[1]) for match in found if match}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
        except PermissionError:
            pass
