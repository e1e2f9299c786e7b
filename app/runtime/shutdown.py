"""Shutdown: on SIGTERM, finishes the admitted requests, refuses new ones, and ends within a time limit."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from app.runtime.admission import Admission

log = logging.getLogger(__name__)

_ABANDON_AT = 0.8
_EXIT_AT = 0.95
"""Shares of the time limit after which unfinished requests are cancelled, and the process exits anyway."""

_POLL_S = 0.05


@contextmanager
def on_sigterm(admission: Admission, timeout_s: float, delay_s: float = 0) -> Iterator[asyncio.Event]:
    """Make SIGTERM finish the admitted requests first, and then call the previous signal handler.

    After SIGTERM the process exits with status 0 within the time limit, even if a thread is still in a long
    call. Only the main thread receives signals; in other threads this context manager does nothing.

    Args:
        admission: the admission control, which refuses new requests after the signal.
        timeout_s: maximum seconds from the signal to the end of the process.
        delay_s: seconds from the signal in which new requests are still admitted, so that a balancer can
            notice that the service is not ready before it refuses requests.

    Yields:
        An event that is set when the signal has arrived.
    """
    stopping = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    signalled = threading.Event()

    def exit_in_time() -> None:
        signalled.wait()
        if admission.stopping:
            time.sleep(_EXIT_AT * timeout_s)
            os._exit(0)

    # The thread starts now, because there may be no memory for a thread when the signal arrives.
    threading.Thread(target=exit_in_time, name="shutdown", daemon=True).start()
    loop, previous = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    tasks: list[asyncio.Task[None]] = []

    async def drain() -> None:
        end = loop.time() + _ABANDON_AT * timeout_s
        if delay_s:
            log.info("SIGTERM received: not ready, but new requests are admitted for %g s.", delay_s)
            await asyncio.sleep(delay_s)
            admission.drain()
        log.info("Stopping: finishing %d requests and refusing new ones.", admission.admitted)
        while admission.admitted and loop.time() < end:
            await asyncio.sleep(_POLL_S)
        if admission.admitted:
            log.warning(
                "%d requests were not finished within the shutdown timeout and are dropped.",
                admission.admitted,
            )
        admission.abandon()
        if callable(previous):
            previous(signal.SIGTERM, None)

    def begin() -> None:
        stopping.set()
        if not tasks:
            tasks.append(loop.create_task(drain()))

    def handle(number: int, frame: FrameType | None) -> None:
        if delay_s:
            admission.announce_stop()
        else:
            admission.drain()
        signalled.set()
        loop.call_soon_threadsafe(begin)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield stopping
    finally:
        signalled.set()
        if signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, previous)
