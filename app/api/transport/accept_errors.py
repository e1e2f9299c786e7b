"""Failures of accept(): one log line a minute.

asyncio calls the exception handler of the event loop for each failed call of accept(). Without a free file
descriptor these are thousands per second.
"""

import asyncio
import logging
import resource
import time
from typing import Any

log = logging.getLogger(__name__)

_INTERVAL_S = 60.0

_MESSAGE = "socket.accept() out of system resource"


class AcceptErrors:
    """Exception handler of an event loop that counts failures of accept(). It passes on all other errors."""

    def __init__(self) -> None:
        self._count = 0
        self._logged = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an error of the event loop."""
        if context.get("message") != _MESSAGE:
            loop.default_exception_handler(context)
            return
        self._count += 1
        now = time.monotonic()
        if now - self._logged < _INTERVAL_S:
            return
        log.error(
            "Connections cannot be accepted: %s (%d failures since the last such line). The limit on file "
            "descriptors is %d: raise it (ulimit -n, LimitNOFILE), or lower FACE_MAX_CONNECTIONS.",
            context.get("exception"),
            self._count,
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )
        self._count, self._logged = 0, now
