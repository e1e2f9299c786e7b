"""Logging: JSON lines or plain ones on standard error, each with its request's id.

A leaf: it knows nothing of HTTP. What is logged is written by a thread of its own from a bounded queue, so
that neither a full disk nor a pipe that nobody reads can hold the service up; lines over the bound are
counted and thrown away.
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
"""The id of the request that is being answered."""

_ROOM = 10_000
_LAST_WORDS = 2.0
_LOOK = 0.01


class Queued(QueueHandler):
    """Hands records on through a queue, and drops them when it is full. `dropped` counts those."""

    queue: "Queue[logging.LogRecord]"

    def __init__(self, queue: "Queue[logging.LogRecord]") -> None:
        super().__init__(queue)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """The record with its request's id; its text is made later, in the writing thread."""
        record.request_id = REQUEST_ID.get()
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except Full:
            self.dropped += 1


def start(level: str, form: Format, stream: TextIO | None = None, room: int = _ROOM) -> None:
    """From now on everything logged goes to the stream, standard error by default.

    `auto` is plain text on a terminal and JSON elsewhere. What waits when the process ends is written still,
    for two seconds at most.
    """
    stream = stream or sys.stderr
    writer = logging.StreamHandler(stream)
    writer.setFormatter(_json() if form == "json" or (form == "auto" and not stream.isatty()) else _text())
    queue: Queue[logging.LogRecord] = Queue(room)
    QueueListener(queue, writer).start()
    root = logging.getLogger()
    root.handlers[:] = [Queued(queue)]
    root.setLevel(level.upper())
    atexit.unregister(flush)
    atexit.register(flush)


def flush(seconds: float = _LAST_WORDS) -> None:
    """Waits until all that was logged is written, for so many seconds at most."""
    end = time.monotonic() + seconds
    for handler in _queued():
        while handler.queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(_LOOK)


def dropped() -> int:
    """How many lines were thrown away because nobody took them."""
    return sum(handler.dropped for handler in _queued())


def _queued() -> list[Queued]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, Queued)]


def _json() -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message", "request_id"],
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
        reserved_attrs=[*RESERVED_ATTRS, "color_message"],
    )


def _text() -> logging.Formatter:
    return logging.Formatter("%(levelname)s:     %(message)s")
