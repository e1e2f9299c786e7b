"""Connections to the database: a small pool, transactions, and what happens when the server goes away.

No state outlives a transaction: settings are `SET LOCAL`, and no statement is prepared. So a pooler such as
PgBouncer in transaction mode may be between the service and the server.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, Lock
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from app.errors import GalleryUnavailable
from app.gallery.postgres.errors import EMPTY, UNKNOWN_OUTCOME, explain, is_gone, refused
from app.gallery.postgres.opening import ANSWER_S, Connection, Opener
from app.gallery.postgres.schema import Found
from app.gallery.turns import Turns
from app.runtime.timing import begin_change

STATEMENT_S = 10
"""Maximum seconds of a statement, after which the server ends it."""
LOCK_S = 5
"""Maximum seconds to wait for another change."""

_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_SEEN = "LOCK TABLE facet.state IN ACCESS SHARE MODE"
"""Waits for a restore of a backup before the transaction takes its snapshot, in which the new rows are."""
_IDLE_S = 30
"""Maximum seconds between two statements of a transaction, so that a lost process keeps no lock."""
_POOL_S = 5.0
"""Maximum seconds to wait for a free connection."""
_SILENCE_S = 2.0
"""Seconds after which no second connection is tried for a request: the server is silent, not restarted."""


class Connections:
    """A pool of connections, which are opened when needed. Its methods may be called from any thread.

    Args:
        uri: a libpq URI.
        size: maximum number of connections.
        local_settings: more settings of each transaction, in SQL.
        answer_s: maximum seconds of silence of the server in a statement.

    Raises:
        GalleryUnavailable: the URI is malformed.
    """

    def __init__(self, uri: str, size: int = 4, local_settings: str = "", answer_s: float = ANSWER_S) -> None:
        self._opener = Opener(uri, answer_s)
        self._local_settings = local_settings
        self._turns = Turns()
        self._free = BoundedSemaphore(size)
        self._size = size
        self._idle: list[tuple[Connection, Found]] = []
        self._lock = Lock()
        self._closed = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection whose queries all see the same state of the database.

        Raises:
            GalleryUnavailable: the database cannot be used.
        """
        with self._transaction(f"{_READ}; {_SEEN}") as (connection, _):
            yield connection

    @contextmanager
    def write(self, undone_late: bool = False) -> Iterator[Connection]:
        """Yield a connection whose changes are committed at the end, or undone if an exception leaves it.

        One change at a time is made: the update of the row of `state` waits for the others. So the numbers
        of changes are in the order of their commits. Only one thread waits there, so that the others keep
        threads and connections for reads. Nothing is changed for a request that is over when the
        transaction begins.

        Args:
            undone_late: whether the changes are also undone if the request is over at their end.

        Raises:
            GalleryInUse: another change takes too long.
            FacetError: the request is over.
            GalleryUnavailable: the database cannot be used, or it is not known whether it has the changes.
        """
        begin = (
            f"BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL lock_timeout = '{LOCK_S}s'; "
            f"SET LOCAL synchronous_commit = on; "
            f"UPDATE facet.state SET token = {secrets.randbelow(2**62 - 1) + 1}"
        )
        with self._turns.turn(LOCK_S), self._transaction(begin) as (connection, cursor):
            while cursor.nextset():
                pass
            if not cursor.rowcount:
                raise GalleryUnavailable(EMPTY)
            if not undone_late:
                begin_change()
            yield connection
            if undone_late:
                begin_change()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Yield a connection of its own, whose queries all see the same state, however long they take.

        Raises:
            GalleryUnavailable: the database cannot be used.
        """
        connection, found = self._opener.open(Connection)
        try:
            connection.execute(
                f"{_READ}; {self._settings(found)}; "
                f"SET LOCAL idle_in_transaction_session_timeout = 0; {_SEEN}"
            )
            yield connection
        except psycopg.Error as error:
            raise GalleryUnavailable(explain(error)) from error
        finally:
            connection.close()

    def version(self) -> int:
        """Return the token of the latest change, by one query.

        Raises:
            GalleryUnavailable: the database cannot be used.
        """
        with self._connection("SELECT token FROM facet.state") as (_, cursor):
            row = cursor.fetchone()
        if row is None:
            raise GalleryUnavailable(EMPTY)
        return int(row[0])

    @contextmanager
    def alone(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Yield a new connection without limits of time and without a transaction, for maintenance.

        Raises:
            GalleryUnavailable: the database cannot be used.
        """
        connection, _ = self._opener.open(psycopg.Connection)
        try:
            with connection:
                yield connection
        except psycopg.Error as error:
            raise GalleryUnavailable(explain(error)) from error

    def close(self) -> None:
        """Close the idle connections, and those in use when they are returned."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[tuple[Connection, psycopg.Cursor[tuple[Any, ...]]]]:
        with self._connection(begin) as (connection, cursor):
            try:
                yield connection, cursor
            except BaseException as error:
                if is_gone(error):
                    connection.close()
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
                raise
            try:
                outcome = connection.execute("COMMIT").statusmessage
            except psycopg.Error as error:
                connection.close()
                if is_gone(error):
                    raise GalleryUnavailable(UNKNOWN_OUTCOME) from error
                raise
            if outcome != "COMMIT":  # the server undoes a transaction in which a statement failed
                raise GalleryUnavailable(f"The database did not commit the change, but answered {outcome}.")

    @contextmanager
    def _connection(self, first: str) -> Iterator[tuple[Connection, psycopg.Cursor[tuple[Any, ...]]]]:
        """Yield a connection that has run a statement, for use by this thread alone.

        Raises:
            GalleryUnavailable: the database cannot be used.
        """
        if not self._free.acquire(timeout=_POOL_S):
            raise GalleryUnavailable(
                f"All {self._size} connections to the database are in use. Try again later, or raise "
                "FACE_GALLERY_CONNECTIONS."
            )
        try:
            connection, found, cursor = self._started(first)
            try:
                yield connection, cursor
            except psycopg.Error as error:
                if is_gone(error):
                    connection.close()
                raise GalleryUnavailable(explain(error)) from error
            finally:
                self._put_back(connection, found)
        finally:
            self._free.release()

    def _started(self, first: str) -> tuple[Connection, Found, psycopg.Cursor[tuple[Any, ...]]]:
        """Return a connection after a statement.

        If an idle connection was lost, a new one is used: nothing was committed.

        Raises:
            GalleryUnavailable: the database cannot be used.
        """
        start = time.monotonic()
        while True:
            with self._lock:
                known = self._idle.pop() if self._idle else None
            connection, found = known or self._opener.open(Connection)
            statement = first
            if first.startswith("BEGIN"):
                begin, _, rest = first.partition(";")
                statement = f"{begin}; {self._settings(found)}; {rest}"
            try:
                return connection, found, connection.execute(statement)
            except psycopg.Error as error:
                is_lost = connection.closed or is_gone(error)
                connection.close()
                if is_lost:
                    self._close_idle()
                if not (known and is_lost) or time.monotonic() > start + _SILENCE_S:
                    failure = refused(error)
                    raise failure from error
            except BaseException:
                connection.close()
                raise

    def _settings(self, found: Found) -> str:
        return (
            f"SET LOCAL search_path = facet, {found.vector_schema}; "
            f"SET LOCAL statement_timeout = '{STATEMENT_S}s'; "
            f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_S}s'; {self._local_settings}"
        )

    def _put_back(self, connection: Connection, found: Found) -> None:
        with self._lock:
            if (
                not self._closed
                and not connection.closed
                and (connection.info.transaction_status == TransactionStatus.IDLE)
            ):
                self._idle.append((connection, found))
                return
        connection.close()
