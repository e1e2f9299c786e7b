"""Reads all people of a collection one by one, without holding them all in memory."""

import time
from collections.abc import Iterator
from sqlite3 import Connection

from app.errors import GalleryUnavailable
from app.gallery.records import Collection, PersonRecord
from app.gallery.rules import DISTURBED, first_at_once
from app.gallery.sqlite import queries
from app.gallery.sqlite.database import Database


def read_people(database: Database, collection: str, snapshot_s: float) -> Iterator[PersonRecord]:
    """Return all people of a collection with their faces, by key; see `GalleryStore.records`.

    Args:
        database: the file.
        collection: name of the collection.
        snapshot_s: maximum seconds for which they are read in one transaction.
    """
    return first_at_once(_read(database, collection, snapshot_s))


def _read(database: Database, name: str, snapshot_s: float) -> Iterator[PersonRecord]:
    """Yield the people, first from one transaction, then each in its own.

    Raises:
        GalleryUnavailable: see `GalleryStore.records`.
    """
    end, after = time.monotonic() + snapshot_s, 0
    with database.snapshot() as connection:
        collection = queries.collection_row(connection, name).record
        start = database.replacements, queries.latest(connection)
        while time.monotonic() < end:
            record = _next(connection, collection, after)
            if record is None:
                return
            yield record
            after = record.person.key
    while True:
        with database.read() as connection:
            record = _next(connection, collection, after)
            if record is None:
                is_same = start[0] == database.replacements
                if is_same and not queries.is_disturbed(connection, collection, start[1]):
                    return
                raise GalleryUnavailable(DISTURBED)
        yield record
        after = record.person.key


def _next(connection: Connection, collection: Collection, after: int) -> PersonRecord | None:
    """Return the person with the next key, with their faces; None if there is none."""
    found = queries.people_page(connection, collection, 1, after)
    if not found:
        return None
    faces = queries.faces_of(connection, found[0])
    return PersonRecord(
        found[0], faces, queries.vectors_of(connection, found[0], collection.dimension).vectors
    )
