"""Logging: JSON or text lines on standard error, each with the id of its request and trace.

A separate thread writes the lines from a bounded queue, so that a full disk or a blocked pipe cannot stop the
service. When the queue is full, further lines are dropped and counted, as are lines that cannot be written.
"""

import atexit
import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue
from typing import Literal, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

Format = Literal["auto", "json", "text"]

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the current request; None outside of a request."""

TRACE_IDS: ContextVar[Callable[[], Mapping[str, str]] | None] = ContextVar("trace_ids", default=None)
"""Returns the ids of the current trace and span, by the names of the fields; None without tracing."""

AUDIT = "facet.audit"
"""Logger of the changes of the gallery. The service writes its lines at every log level."""

_QUEUE_SIZE = 10_000
_FLUSH_TIMEOUT_S = 2.0
_POLL_S = 0.01


class CountingStreamHandler(logging.StreamHandler[TextIO]):
    """Writes log records to a stream, and counts those that it cannot write.

    Attributes:
        failed: number of records that it could not write.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.failed = 0

    def handleError(self, record: logging.LogRecord) -> None:
        """Count the record, in place of a traceback on standard error, which could not be written either."""
        self.failed += 1


class DroppingQueueHandler(QueueHandler):
    """Puts log records into a queue, and drops them when the queue is full.

    Args:
        queue: the records that wait to be written.
        writer: the handler that a separate thread calls with the records of the queue.

    Attributes:
        queue: the records that wait to be written.
    """

    queue: "Queue[logging.LogRecord]"

    def __init__(self, queue: "Queue[logging.LogRecord]", writer: CountingStreamHandler) -> None:
        super().__init__(queue)
        self._writer = writer
        self._refused = 0

    @property
    def dropped(self) -> int:
        """The number of records that did not fit into the queue or could not be written."""
        return self._refused + self._writer.failed

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return the record with the ids of its request and trace. The writing thread formats it."""
        record.request_id = REQUEST_ID.get()
        if (trace_ids := TRACE_IDS.get()) is not None:
            record.__dict__.update(trace_ids())
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put the record into the queue, or drop it if the queue is full."""
        try:
            self.queue.put_nowait(record)
        except Full:
            self._refused += 1


def start(level: str, form: Format, stream: TextIO | None = None, queue_size: int = _QUEUE_SIZE) -> None:
    """Write all log records of the process to a stream, from a separate thread.

    At the end of the process, waiting lines are written for at most two seconds.

    Args:
        level: minimum level, for example `info`.
        form: `json`, `text`, or `auto` for text on a terminal and JSON elsewhere.
        stream: where to write; standard error if None.
        queue_size: maximum number of lines that wait to be written.
    """
    stream = stream or sys.stderr
    writer = CountingStreamHandler(stream)
    writer.setFormatter(_json() if form == "json" or (form == "auto" and not stream.isatty()) else _text())
    queue: Queue[logging.LogRecord] = Queue(queue_size)
    QueueListener(queue, writer).start()
    root = logging.getLogger()
    root.handlers[:] = [DroppingQueueHandler(queue, writer)]
    root.setLevel(level.upper())
    logging.getLogger(AUDIT).setLevel(logging.INFO)  # a quiet service keeps its audit log
    atexit.unregister(flush)
    atexit.register(flush)


def flush(timeout_s: float = _FLUSH_TIMEOUT_S) -> None:
    """Wait until all waiting lines are written, but at most `timeout_s` seconds."""
    end = time.monotonic() + timeout_s
    for handler in _queue_handlers():
        while handler.queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(_POLL_S)


def dropped() -> int:
    """Return the number of log lines that were dropped: the queue was full, or they could not be written."""
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
