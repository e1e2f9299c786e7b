"""Opens connections to the database, with time limits, and checks its schema."""

import time
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

from app.errors import GalleryUnavailable
from app.gallery.postgres.errors import explain, explain_refusal, parse
from app.gallery.postgres.schema import Found, prepare
from app.gallery.postgres.values import VectorDumper, VectorParameter

T = TypeVar("T")

ANSWER_S = 12.0
"""Maximum seconds of silence of the server in a statement, after which the connection is closed."""
_PAUSE_S = 0.5
"""Seconds after a failed connection in which no other is tried."""
_DEFAULTS = {
    "application_name": "facet",
    "client_encoding": "UTF8",
    "connect_timeout": "3",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "8000",
    "target_session_attrs": "read-write",
}
"""Parameters of libpq that FACE_GALLERY may change."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose statements fail if the server is silent for too long."""

    answer_s = ANSWER_S

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Return the result of a statement."""
        return super().wait(gen, interval, self.answer_s if timeout is None else timeout)


@dataclass
class _Outage:
    """The latest failed attempt to connect."""

    detail: str
    until: float


class Opener:
    """Opens connections. Its methods may be called from any thread.

    Args:
        uri: a libpq URI.
        answer_s: maximum seconds of silence of the server in a statement.

    Raises:
        GalleryUnavailable: the URI is malformed.
    """

    def __init__(self, uri: str, answer_s: float = ANSWER_S) -> None:
        self._parameters = {**_DEFAULTS, **parse(uri)}
        self._answer_s = answer_s
        self._connecting = Lock()
        self._outage: _Outage | None = None
        self._had_schema = False

    def open(self, kind: type[psycopg.Connection[tuple[Any, ...]]]) -> tuple[Any, Found]:
        """Return a new connection, after the schema was created or checked.

        While the server cannot be reached, one thread tries, and the others get its error at once.

        Raises:
            GalleryUnavailable: the database cannot be used.
        """
        is_first = self._connecting.acquire(blocking=self._outage is None)
        try:
            outage = self._outage
            if outage is not None and (not is_first or time.monotonic() < outage.until):
                raise GalleryUnavailable(outage.detail)
            try:
                opened = self._opened(kind)
            except GalleryUnavailable as error:
                self._outage = _Outage(error.detail, time.monotonic() + _PAUSE_S)
                raise
            self._outage = None
            return opened
        finally:
            if is_first:
                self._connecting.release()

    def _opened(self, kind: type[psycopg.Connection[tuple[Any, ...]]]) -> tuple[Any, Found]:
        try:
            connection = kind.connect(**self._parameters, autocommit=True, prepare_threshold=None)  # type: ignore[arg-type]
        except psycopg.Error as error:
            raise GalleryUnavailable(explain_refusal(error, self._parameters.get("password"))) from error
        if isinstance(connection, Connection):
            connection.answer_s = self._answer_s
        try:
            connection.adapters.register_dumper(VectorParameter, VectorDumper)
            found = prepare(connection, must_exist=self._had_schema)
        except psycopg.Error as error:
            connection.close()
            raise GalleryUnavailable(explain(error)) from error
        except BaseException:
            connection.close()
            raise
        self._had_schema = True
        return connection, found
