"""The SQLite file of a gallery: transactions, erasure, copies.

A process has two connections, one that reads and one that writes, so that no search waits while another
thread or process writes. The file may be open in several processes.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from threading import Lock

from app.errors import BadParameter, GalleryUnavailable
from app.gallery.rules import GalleryInUse
from app.gallery.sqlite.opening import (
    MISSING,
    FileId,
    create_file,
    error_code,
    explain,
    file_id,
    locked_folder,
    open_connection,
)
from app.gallery.turns import IN_USE, Turns
from app.runtime.timing import begin_change

_TIMEOUT_S = 10.0

_SNAPSHOT_CACHE = -2000  # KiB; each page is read once

_KEPT = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_CORRUPT)
"""Errors after which a connection stays open. That to a damaged file tells its log from that of a backup."""


class Link:
    """A connection to the file, which one thread uses at a time. After a failure it is opened again.

    Args:
        path: the file.
        begin: the statement that begins a transaction.
        timeout_s: maximum seconds to wait for other threads and processes.

    Attributes:
        openings: how often the connection was opened.
        replacements: how often the file was another one than before.
    """

    def __init__(self, path: Path, begin: str, timeout_s: float) -> None:
        self._path, self._begin, self._timeout_s = path, begin, timeout_s
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: FileId | None = None
        self._beside: dict[Path, FileId | None] = {}
        self._closed = False
        self.openings = self.replacements = 0

    @contextmanager
    def connection(self, timeout_s: float | None = None) -> Iterator[sqlite3.Connection]:
        """Yield the connection for use by this thread alone.

        Args:
            timeout_s: maximum seconds to wait for other threads; None for that of the link.

        Raises:
            GalleryInUse: other threads use the connection, or other processes write, for too long.
            GalleryUnavailable: the file cannot be used.
        """
        if not self._lock.acquire(timeout=self._timeout_s if timeout_s is None else timeout_s):
            raise GalleryInUse(IN_USE)
        try:
            yield self._current()
        except sqlite3.Error as error:
            if error_code(error) not in _KEPT:
                self._disconnect()
            is_busy = error_code(error) == sqlite3.SQLITE_BUSY
            raise (GalleryInUse if is_busy else GalleryUnavailable)(explain(error)) from error
        finally:
            self._lock.release()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection within a transaction, which is undone if an exception leaves the context."""
        with self.connection() as connection:
            try:
                connection.execute(self._begin)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.rollback()
                raise

    def close(self) -> None:
        """Close the connection for good, once no thread uses it."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def _current(self) -> sqlite3.Connection:
        """Return the connection to the file that has the path now.

        Raises:
            GalleryUnavailable: the file cannot be used.
        """
        if self._closed:
            raise GalleryUnavailable("The gallery is closed.")
        present = file_id(self._path)
        if present is None:
            raise GalleryUnavailable(MISSING)
        if self._connection is not None and present != self._file:
            self._disconnect()
        if self._connection is None:
            with locked_folder(self._path):
                connection, present = open_connection(self._path, self._timeout_s)
                beside = (self._path.with_name(self._path.name + suffix) for suffix in ("-wal", "-shm"))
                self._beside = {path: file_id(path) for path in beside}
            self.openings += 1
            self.replacements += self._file not in (None, present)
            self._connection, self._file = connection, present
        return self._connection

    def _disconnect(self) -> None:
        """Close the connection. Remove the log of a replaced file: SQLite would use it for the new one."""
        if self._connection is not None:
            with locked_folder(self._path):
                if file_id(self._path) not in (None, self._file):
                    for path, known in self._beside.items():
                        if known is not None and file_id(path) == known:
                            path.unlink()
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


class Database:
    """The file of a gallery.

    Args:
        path: the file. It is created, with its folder, if it does not exist.
        timeout_s: maximum seconds to wait for other threads and processes that write.

    Raises:
        GalleryUnavailable: the file cannot be used.
    """

    def __init__(self, path: Path, timeout_s: float = _TIMEOUT_S) -> None:
        self._path, self._timeout_s = path.absolute(), timeout_s
        self._reader = Link(self._path, "BEGIN", timeout_s)
        self._writer = Link(self._path, "BEGIN IMMEDIATE", timeout_s)
        self._turns = Turns()
        self._snapshots = 0
        self._counting = Lock()
        try:
            create_file(self._path)
            with self._reader.transaction():
                pass  # the file can be read
            with suppress(GalleryInUse), self._writer.transaction():
                pass  # and written, or another process writes it
        except GalleryUnavailable as error:
            self.close()
            raise GalleryUnavailable(f"The gallery {path} cannot be opened. {error.detail}") from error

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        """Return a context in which all queries see the same state of the file."""
        return self._reader.transaction()

    @contextmanager
    def write(self, undone_late: bool = False) -> Iterator[sqlite3.Connection]:
        """Yield a connection whose changes are on the disk at the end, or undone if an exception leaves it.

        Nothing is changed for a request that is over when the transaction begins.

        Args:
            undone_late: whether the changes are also undone if the request is over at their end.

        Raises:
            GalleryInUse: another change takes too long.
            GalleryUnavailable: the file cannot be used.
            FacetError: the request is over.
        """
        with self._turns.turn(self._timeout_s), self._writer.transaction() as connection:
            if not undone_late:
                begin_change()
            yield connection
            if undone_late:
                begin_change()

    @contextmanager
    def apart(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection of its own for a long query, which does not keep others from reading.

        Raises:
            GalleryUnavailable: the file cannot be used, or the query fails.
        """
        with self._reader.connection():
            pass  # if the file was replaced, this removes the log of the old one
        try:
            with closing(open_connection(self._path, self._timeout_s)[0]) as connection:
                yield connection
        except sqlite3.Error as error:
            raise GalleryUnavailable(explain(error)) from error

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection of its own, whose queries all see the state of the first one.

        Others read and write meanwhile, but no log can be truncated, so that nothing can be erased.
        """
        with self._counting:
            self._snapshots += 1
        try:
            with self.apart() as connection:
                connection.execute(f"PRAGMA cache_size = {_SNAPSHOT_CACHE}")
                connection.execute("BEGIN")
                yield connection
        finally:
            with self._counting:
                self._snapshots -= 1

    def version(self) -> int:
        """Return a number that differs after each change of the file, and after each opening."""
        with self._reader.connection() as connection:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            return (self._reader.openings << 32) + int(version)

    @property
    def replacements(self) -> int:
        """How often the file was replaced by another one. Valid within `read`."""
        return self._reader.replacements

    def truncate_log(self, timeout_s: float) -> bool:
        """Move the write-ahead log into the file and truncate it, so that no bytes of deleted rows are in it.

        It does not wait for a snapshot of this process, which takes long: changes would wait, too.

        Args:
            timeout_s: maximum seconds to wait for transactions, including those of other processes.

        Returns:
            Whether all transactions ended in time.
        """
        end = time.monotonic() + timeout_s
        try:
            with self._writer.connection(timeout_s) as connection:
                wait_ms = 0 if self._snapshots else max(0, round(1000 * (end - time.monotonic())))
                connection.execute(f"PRAGMA busy_timeout = {wait_ms}")
                try:
                    busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                finally:
                    connection.execute(f"PRAGMA busy_timeout = {round(1000 * self._timeout_s)}")
        except GalleryInUse:
            return False
        return not busy

    def copy(self, path: Path) -> None:
        """Write a copy to a new file that only its owner can read, while the file is in use.

        Raises:
            BadParameter: there is a file of this name.
            GalleryUnavailable: the file cannot be read, or the copy cannot be written.
        """
        try:
            target = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except FileExistsError as error:
            raise BadParameter(f"{path} exists already. Choose a new name for the copy.") from error
        except OSError as error:
            raise GalleryUnavailable(f"The copy {path} cannot be written: {error.strerror}.") from error
        try:
            with self.apart() as connection:
                connection.execute("VACUUM INTO ?", (str(path),))  # without the unused parts of the file
            os.fsync(target)
            _sync_folder(path)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(target)

    def close(self) -> None:
        """Close both connections."""
        self._reader.close()
        self._writer.close()


def _sync_folder(path: Path) -> None:
    """Make sure that a crash of the machine does not lose the name of a new file."""
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
