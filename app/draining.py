"""The end of a process: SIGTERM finishes what has begun, refuses what comes new, and is over in time."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from app.pipeline.executor import Executor

log = logging.getLogger(__name__)

_WAIT = 0.8
_LEAVE = 0.95
"""Of the grace time: until when work is waited for, and when the process leaves whatever still runs."""

_LOOK = 0.05


@contextmanager
def on_sigterm(executor: Executor, grace: float) -> Iterator[asyncio.Event]:
    """While open, the first SIGTERM drains the executor before it does what SIGTERM did before.

    At `grace` seconds the process is gone, with status 0, even if a thread is in the midst of a long call.
    The event is set once the signal has come. Outside the main thread, where there are no signals, it
    does nothing.
    """
    ending = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    tasks: list[asyncio.Task[None]] = []

    async def drain() -> None:
        log.info("SIGTERM: %d requests are being finished, new ones are refused", executor.admitted)
        end = loop.time() + _WAIT * grace
        while executor.admitted and loop.time() < end:
            await asyncio.sleep(_LOOK)
        if executor.admitted:
            log.warning("%d requests were not done within the grace time and are given up", executor.admitted)
        executor.abandon()
        if callable(before):
            before(signal.SIGTERM, None)

    def begin() -> None:
        ending.set()
        if not tasks:
            tasks.append(loop.create_task(drain()))

    def handle(number: int, frame: FrameType | None) -> None:
        if not executor.draining:
            executor.drain()
            last = threading.Timer(_LEAVE * grace, os._exit, (0,))
            last.daemon = True
            last.start()
        loop.call_soon_threadsafe(begin)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield ending
    finally:
        if signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, before)
