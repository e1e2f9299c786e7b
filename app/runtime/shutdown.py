"""Shutdown: SIGTERM finishes admitted requests, refuses new ones, and ends within a time limit."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from app.runtime.admission import Admission

log = logging.getLogger(__name__)

_ABANDON_AT = 0.8
_EXIT_AT = 0.95
"""Shares of the time limit: when unfinished requests are cancelled, and when the process exits regardless."""

_POLL_S = 0.05


@contextmanager
def on_sigterm(admission: Admission, timeout_s: float) -> Iterator[asyncio.Event]:
    """While open, the first SIGTERM drains the admitted requests before its previous effect takes place.

    The process exits with status 0 within `timeout_s` seconds, even if a thread is still in a long call.
    Outside the main thread, which receives no signals, this does nothing.

    Returns:
        An event that is set when the signal has arrived.
    """
    stopping = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    loop, previous = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    tasks: list[asyncio.Task[None]] = []

    async def drain() -> None:
        log.info("SIGTERM: finishing %d requests, refusing new ones", admission.admitted)
        end = loop.time() + _ABANDON_AT * timeout_s
        while admission.admitted and loop.time() < end:
            await asyncio.sleep(_POLL_S)
        if admission.admitted:
            log.warning(
                "%d requests were not finished within the shutdown time and are dropped", admission.admitted
            )
        admission.abandon()
        if callable(previous):
            previous(signal.SIGTERM, None)

    def begin() -> None:
        stopping.set()
        if not tasks:
            tasks.append(loop.create_task(drain()))

    def handle(number: int, frame: FrameType | None) -> None:
        if not admission.draining:
            admission.drain()
            deadline = threading.Timer(_EXIT_AT * timeout_s, os._exit, (0,))
            deadline.daemon = True
            deadline.start()
        loop.call_soon_threadsafe(begin)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield stopping
    finally:
        if signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, previous)
