"""The changes of faces that the indexes of all replicas follow.

A position in them is one integer: the number of a change, and the token of its transaction in the lower bits.
Tokens are random. So a position of a history that was lost, by a restored backup or a failover to a standby
that lacked transactions, is recognised, although the numbers go on.
"""

from typing import NamedTuple

from app.gallery.postgres.queries import Connection, rows
from app.gallery.records import Collection, FaceChange

_TOKEN_BITS = 62


class Latest(NamedTuple):
    """The position of the latest change, and the greatest key of a face; 0 without one."""

    position: int
    face: int


def last_position(connection: Connection) -> int:
    """Return the position of the latest change; 0 if there was none."""
    found = rows(connection, "SELECT number, token FROM changes ORDER BY number DESC LIMIT 1")
    return _position(*found[0]) if found else 0


def latest(connection: Connection) -> Latest:
    """Return the latest change and face."""
    ((face,),) = rows(connection, "SELECT coalesce(max(key), 0) FROM faces")
    return Latest(last_position(connection), face)


def changes_after(connection: Connection, position: int) -> tuple[int, list[FaceChange]] | None:
    """Return the position of the latest change, and the changes after a position.

    Returns:
        None if changes in between are no longer known, or the position is of another history.
    """
    number = position >> _TOKEN_BITS
    found = rows(
        connection,
        "SELECT number, token, collection, face, person FROM changes WHERE number >= %s ORDER BY number",
        number,
    )
    if position == 0:
        if not found:
            return 0, []
        if found[0][0] != 1:
            return None
        later = found
    elif not found or _position(*found[0][:2]) != position:
        return None
    else:
        later = found[1:]
    return _position(*found[-1][:2]), [FaceChange(*row[2:]) for row in later]


def is_disturbed(connection: Connection, collection: Collection, start: Latest) -> bool:
    """Return whether a reader of people, one by one, may have read a face twice or not at all.

    Args:
        connection: the connection.
        collection: the collection.
        start: the latest change and face when the reader began.

    Returns:
        Whether a face of the collection was given to another person since then, the changes since then are no
        longer known, or the collection is deleted.
    """
    found = changes_after(connection, start.position)
    if found is None or not rows(connection, "SELECT 1 FROM collections WHERE key = %s", collection.key):
        return True
    mine = [c for c in found[1] if c.collection == collection.key and c.person is not None]
    new = {change.face for change in mine if change.face > start.face}
    return len(mine) != len(new)  # the first change of a new face is not a move


def _position(number: int, token: int) -> int:
    return number << _TOKEN_BITS | token
