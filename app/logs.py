"""Logging: JSON or text lines on standard error, each with its request's id.

A thread of its own writes log lines from a bounded queue, so that neither a full disk nor a pipe that nobody
reads can stop the service. Lines beyond the bound are counted and dropped.
"""

import atexit
import logging
import sys
import time
from contextvars import ContextVar
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue
from typing import Literal, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

Format = Literal["auto", "json", "text"]

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the current request."""

_QUEUE_SIZE = 10_000
_FLUSH_TIMEOUT_S = 2.0
_POLL_S = 0.01


class DroppingQueueHandler(QueueHandler):
    """Passes records on through a queue, and drops them when it is full. `dropped` counts those."""

    queue: "Queue[logging.LogRecord]"

    def __init__(self, queue: "Queue[logging.LogRecord]") -> None:
        super().__init__(queue)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return the record with its request's id; the writing thread formats it."""
        record.request_id = REQUEST_ID.get()
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except Full:
            self.dropped += 1


def start(level: str, form: Format, stream: TextIO | None = None, queue_size: int = _QUEUE_SIZE) -> None:
    """Send everything that is logged to the stream.

    When the process ends, waiting lines are written for at most two seconds.

    Args:
        level: minimum level.
        form: `json`, `text`, or `auto` for text on a terminal and JSON elsewhere.
        stream: standard error if None.
        queue_size: lines that may wait to be written.
    """
    stream = stream or sys.stderr
    writer = logging.StreamHandler(stream)
    writer.setFormatter(_json() if form == "json" or (form == "auto" and not stream.isatty()) else _text())
    queue: Queue[logging.LogRecord] = Queue(queue_size)
    QueueListener(queue, writer).start()
    root = logging.getLogger()
    root.handlers[:] = [DroppingQueueHandler(queue)]
    root.setLevel(level.upper())
    atexit.unregister(flush)
    atexit.register(flush)


def flush(timeout_s: float = _FLUSH_TIMEOUT_S) -> None:
    """Wait until all lines are written, for at most so many seconds."""
    end = time.monotonic() + timeout_s
    for handler in _queue_handlers():
        while handler.queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(_POLL_S)


def dropped() -> int:
    """Return the number of lines that were dropped because the queue was full."""
    return sum(handler.dropped for handler in _queue_handlers())


def _queue_handlers() -> list[DroppingQueueHandler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, DroppingQueueHandler)]


def _json() -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message", "request_id"],
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
        reserved_attrs=[*RESERVED_ATTRS, "color_message"],
    )


def _text() -> logging.Formatter:
    return logging.Formatter("%(levelname)s:     %(message)s")
