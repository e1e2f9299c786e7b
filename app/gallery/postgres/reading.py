"""Reads all people of a collection, some at once, without holding them all in memory."""

import time
from collections.abc import Iterator

from app.errors import GalleryUnavailable
from app.gallery.postgres import queries
from app.gallery.postgres.changes import is_disturbed, latest
from app.gallery.postgres.connections import Connections
from app.gallery.postgres.opening import Connection
from app.gallery.records import Collection, PersonRecord
from app.gallery.rules import DISTURBED, first_at_once

_PEOPLE_AT_ONCE = 64


def read_people(database: Connections, collection: str, snapshot_s: float) -> Iterator[PersonRecord]:
    """Return all people of a collection with their faces, by key; see `GalleryStore.records`.

    Args:
        database: the database.
        collection: name of the collection.
        snapshot_s: maximum seconds for which they are read in one transaction.
    """
    return first_at_once(_read(database, collection, snapshot_s))


def _read(database: Connections, name: str, snapshot_s: float) -> Iterator[PersonRecord]:
    """Yield the people, first from one transaction, then each as it is.

    Raises:
        GalleryUnavailable: see `GalleryStore.records`.
    """
    end, after = time.monotonic() + snapshot_s, 0
    with database.snapshot() as connection:
        collection = queries.collection_row(connection, name)
        start = latest(connection)
        while time.monotonic() < end:
            records = _page(connection, collection, after)
            if not records:
                return
            yield from records
            after = records[-1].person.key
    while True:
        version = database.version()
        with database.read() as connection:
            records = _page(connection, collection, after)
            if not records:
                if is_disturbed(connection, collection, start):
                    raise GalleryUnavailable(DISTURBED)
                return
        for record in records:
            if record is not records[0] and database.version() != version:
                break  # this person may be deleted: read again
            yield record
            after = record.person.key


def _page(connection: Connection, collection: Collection, after: int) -> list[PersonRecord]:
    people = queries.people_page(connection, collection, _PEOPLE_AT_ONCE, after)
    faces = queries.faces_of(connection, people)
    vectors = queries.vectors_of(connection, people, collection.dimension)
    records = []
    for person in people:
        rows = [row for row, key in enumerate(vectors.people) if key == person.key]
        records.append(PersonRecord(person, [faces[row] for row in rows], vectors.vectors[rows]))
    return records
