"""Opens the SQLite file of a gallery: creates it, refuses other files, runs migrations."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from urllib.parse import quote

from app.errors import GalleryUnavailable
from app.gallery.sqlite.contents import PAGE
from app.gallery.sqlite.schema import APPLICATION_ID, MIGRATIONS

FileId = tuple[int, int]
"""Device and inode of a file."""

_OLDEST_SQLITE = (3, 38)
_PRAGMAS = (
    "secure_delete = ON",
    "foreign_keys = ON",
    "synchronous = FULL",
    "temp_store = MEMORY",  # a temporary file would keep deleted bytes on the disk
    "cache_size = -16000",  # KiB
    "wal_autocheckpoint = 4000",  # pages
    "journal_size_limit = 16000000",  # bytes that the write-ahead log keeps after a large transaction
)
MISSING = (
    "The file of the gallery was removed. Put it back, or restart the service to begin an empty gallery."
)
"""What to do if the file is gone. It is not created again, because this would hide the loss."""

_NOT_WRITABLE = "The gallery cannot be written. Let the user of the service write the file and its folder."
_LOCKED = "Another process writes to the gallery for a long time. Try again later."
_REASONS = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: "The disk of the gallery is full. Free space on it.",
    sqlite3.SQLITE_READONLY: _NOT_WRITABLE,
    sqlite3.SQLITE_PERM: _NOT_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: (
        "The file of the gallery, or one beside it, cannot be opened. Let the user of the service read and "
        "write the file and its folder."
    ),
    sqlite3.SQLITE_CORRUPT: "The gallery is damaged. Restore a backup.",
    sqlite3.SQLITE_NOTADB: "The file is not a SQLite database. Name another file, or restore a backup.",
}


def file_id(path: Path) -> FileId | None:
    """Return device and inode of a file; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Keep other processes from doing the same with a file of this folder."""
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError:
        yield  # there is no such folder any more
        return
    try:
        flock(folder, LOCK_EX)
        yield
    finally:
        os.close(folder)


def explain(error: sqlite3.Error) -> str:
    """Return the reason and the remedy of an error of SQLite."""
    reason = _REASONS.get(error_code(error))
    return reason or f"The gallery failed: {error}. Check its file and its disk."


def error_code(error: sqlite3.Error) -> int:
    """Return the primary error code of SQLite; 0 for an error of the module sqlite3 itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def create_file(path: Path) -> None:
    """Create an empty file for a gallery that only its owner can read, and its folder, if there are none.

    Raises:
        GalleryUnavailable: this is not possible.
    """
    try:
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        reason = "its folder is a file" if isinstance(error, FileExistsError) else error.strerror
        raise GalleryUnavailable(
            f"The file cannot be created: {reason}. Choose a folder that the user of the service can write."
        ) from error
    if not path.is_file():
        raise GalleryUnavailable("The path is not a file. Name a file.")


def open_connection(path: Path, timeout_s: float) -> tuple[sqlite3.Connection, FileId]:
    """Return a connection to the file of a gallery, or to an empty file, with the newest schema; and its id.

    Args:
        path: an absolute path.
        timeout_s: maximum seconds for which the connection waits for others.

    Raises:
        GalleryUnavailable: the file is missing, belongs to another program or was made by a newer version.
        sqlite3.Error: the file cannot be read or written.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise GalleryUnavailable(
            f"The gallery needs SQLite {'.'.join(map(str, _OLDEST_SQLITE))}, and Python has "
            f"{sqlite3.sqlite_version}. Install a newer one."
        )
    before = file_id(path)
    if before is None:
        raise GalleryUnavailable(MISSING)
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        if _version(connection) != len(MIGRATIONS):
            _migrate(connection)
        _use_wal(connection, timeout_s)
        _version(connection)  # the first query creates the files of the log
        if file_id(path) != before:
            raise GalleryUnavailable("The file of the gallery was replaced while it was opened. Try again.")
    except BaseException:
        connection.close()
        raise
    return connection, before


def _version(connection: sqlite3.Connection) -> int:
    """Return the number of migrations that were run; 0 for an empty file.

    Raises:
        GalleryUnavailable: the file belongs to another program or was made by a newer version.
    """
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if objects and application != APPLICATION_ID:
        raise GalleryUnavailable("The file is the database of another program. Name another file.")
    if version > len(MIGRATIONS):
        raise GalleryUnavailable(
            f"The file was made by a newer version of Facet: its schema is {version}, and this version knows "
            f"{len(MIGRATIONS)}. Update Facet, or name another file."
        )
    if objects and page != PAGE:  # `contents.py` depends on it
        raise GalleryUnavailable(
            f"The pages of the file have {page} bytes instead of {PAGE}. Restore an unchanged backup."
        )
    return int(version)


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE}")  # takes effect in an empty file
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in MIGRATIONS[_version(connection) :]:  # perhaps another process ran them
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        _version(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _use_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Switch to the write-ahead log.

    Raises:
        GalleryUnavailable: the file system does not support it.
        sqlite3.OperationalError: this failed, or another process has locked the file for too long.
    """
    end = time.monotonic() + timeout_s
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            if error_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise  # SQLite itself does not wait if another process switches
        time.sleep(0.01)
    if mode != "wal":
        raise GalleryUnavailable(
            "The file system does not support SQLite's write-ahead log. Choose a folder on a local disk."
        )
