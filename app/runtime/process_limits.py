"""Limits of the operating system on this process, compared with the needs of the service when it starts.

Without this check the service would start, and fail later on a request or a connection.
"""

import logging
import os
import resource
import threading
import time
from contextlib import suppress

from app.errors import CannotStart

log = logging.getLogger(__name__)

_END_TIMEOUT_S = 1.0
_POLL_S = 0.001


def require_threads(count: int) -> None:
    """Check that the process can start a number of further threads, by starting them for a moment.

    The limit on processes of a user or a container counts threads. No system call returns what is left of it.

    Args:
        count: number of threads.

    Raises:
        CannotStart: the system refuses one of them.
    """
    before = _thread_count()
    over = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=over.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        raise CannotStart(
            f"Facet needs {count} more threads, but the system allows only {len(started)}. Raise the "
            "limit on processes (ulimit -u, or pids_limit of a container), or set FACE_THREADS, "
            "FACE_MAX_CONCURRENT or FACE_WORKERS to a lower value."
        ) from error
    finally:
        over.set()
        for thread in started:
            thread.join()
        end = time.monotonic() + _END_TIMEOUT_S
        while _thread_count() > before and time.monotonic() < end:
            time.sleep(_POLL_S)  # the system counts a thread for a moment after it is joined


def require_descriptors(connections: int, others: int) -> None:
    """Check that the process can open enough file descriptors, and raise its soft limit if necessary.

    Args:
        connections: the setting FACE_MAX_CONNECTIONS.
        others: number of file descriptors for other purposes.

    Raises:
        CannotStart: the hard limit is too low.
    """
    needed = connections + others
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _suffices(soft, needed):
        return
    if not _suffices(hard, needed):
        fewer = f", or set FACE_MAX_CONNECTIONS={hard - others} or lower" if hard > others else ""
        raise CannotStart(
            f"FACE_MAX_CONNECTIONS={connections} needs {needed} file descriptors, but the process may open "
            f"only {hard}. Raise the limit to {needed} (ulimit -n, LimitNOFILE of systemd, or ulimits of a "
            f"container){fewer}."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    log.info(
        "The limit on file descriptors was raised from %d to %d, which FACE_MAX_CONNECTIONS=%d needs.",
        soft,
        needed,
        connections,
    )


def _thread_count() -> int:
    with suppress(OSError):  # only Linux has /proc
        return len(os.listdir("/proc/self/task"))
    return 0


def _suffices(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
