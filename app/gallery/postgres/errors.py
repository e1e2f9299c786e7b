"""Errors of PostgreSQL as sentences for operators, without passwords."""

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from app.errors import GalleryUnavailable
from app.gallery.rules import GalleryInUse
from app.gallery.turns import IN_USE

MISSING = (
    "The tables of the gallery were removed from the database. Restore a backup, or restart the service to "
    "begin an empty gallery."
)
"""What to do if the schema is gone. It is not created again, because this would hide the loss."""
EMPTY = "The table facet.state is empty. If a backup is being restored, wait for its end; else restore one."
"""What to do if the one row that each change updates is missing: no lock keeps changes apart."""
UNKNOWN_OUTCOME = (
    "The connection to the database was lost while a change was committed, so that it is not known whether "
    "the change was made. Look before you repeat it."
)

_ROLE = "The user of the database lacks a right: {}. Grant it, or name the owner of the schema facet."
_READ_ONLY = (
    "The database accepts no changes: it is a standby, or read-only. Name the primary server in FACE_GALLERY."
)
_REASONS: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.LockNotAvailable, IN_USE),
    (errors.QueryCanceled, "The database did not answer in time. Look for load and locks on the server."),
    (errors.ReadOnlySqlTransaction, _READ_ONLY),
    (errors.DiskFull, "The disk of the database is full. Free space on it."),
    (errors.TooManyConnections, "The database has no free connection. Raise max_connections."),
    (errors.UndefinedTable, MISSING),
    (errors.InvalidSchemaName, MISSING),
)
"""Reason and remedy by the class of an error."""

_REFUSALS = (
    ("password", "Check the user and the password in FACE_GALLERY."),
    ("does not exist", "Create it, or name another one in FACE_GALLERY."),
    ("read-only", "Name the primary server in FACE_GALLERY."),
    ("pg_hba.conf", "Allow the connection in pg_hba.conf of the server."),
    ("too many", "Raise max_connections of the server, or lower FACE_GALLERY_CONNECTIONS."),
    ("starting up", "Wait until the server has started."),
)
"""Remedy by a part of the message for a refused connection."""


def refused(error: psycopg.Error) -> GalleryUnavailable:
    """Return the error of a transaction that could not begin."""
    kind = GalleryInUse if isinstance(error, errors.LockNotAvailable) else GalleryUnavailable
    return kind(explain(error))


def explain(error: psycopg.Error) -> str:
    """Return the reason and the remedy of an error of a statement."""
    if isinstance(error, errors.InsufficientPrivilege):
        return _ROLE.format(_first_line(error))
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    if is_gone(error):
        return f"The connection to the database was lost: {_first_line(error)}. Check that the server runs."
    return f"The database failed: {_first_line(error)}. Look into the log of the server."


def is_gone(error: BaseException) -> bool:
    """Return whether a connection cannot be used after an error: it was lost, or the server was silent."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


def explain_refusal(error: psycopg.Error, password: str | None) -> str:
    """Return the reason and the remedy if a connection cannot be opened.

    Args:
        error: the error.
        password: the password, which must not be in the message.
    """
    text = _first_line(error)
    if password:
        text = text.replace(password, "***")
    remedy = next(
        (remedy for part, remedy in _REFUSALS if part in text),
        "Check the address in FACE_GALLERY, and that the server runs.",
    )
    return f"The database of the gallery cannot be reached: {text}. {remedy}"


def parse(uri: str) -> dict[str, str]:
    """Return the parameters of a libpq URI.

    Raises:
        GalleryUnavailable: it is malformed. The message has no part of it, as it may contain a password.
    """
    try:
        return {name: str(value) for name, value in conninfo_to_dict(uri).items() if value is not None}
    except psycopg.Error:
        raise GalleryUnavailable(
            "FACE_GALLERY is not a valid address of a database. Write it as "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters as %XX."
        ) from None


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].strip().removesuffix(".")
