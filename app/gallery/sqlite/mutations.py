"""Changes of the SQLite store. Each runs within a transaction of the caller, which is undone on an error."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from secrets import token_bytes
from sqlite3 import Connection
from typing import Any

from app.gallery import clock
from app.gallery.records import Collection, Expired, Limits, NewFace, Person, PersonRecord
from app.gallery.rules import (
    checked_id,
    id_bytes,
    optional_micros,
    refuse_external_id,
    require_at_most,
    require_embedding,
    require_two,
    to_micros,
)
from app.gallery.sqlite.contents import FILLER, external_hash, pack_face, pack_person
from app.gallery.sqlite.queries import (
    CollectionRow,
    all_collections,
    collection_row,
    expired,
    people_where,
    person_with_external_id,
)


def insert_collection(
    connection: Connection, limits: Limits, name: str, model: str, contract: str, dimension: int
) -> None:
    """Store a collection.

    Raises:
        GalleryLimit: there are too many.
    """
    require_at_most(limits, collections=len(all_collections(connection)) + 1)
    connection.execute(
        "INSERT INTO collections (name, model, contract, dimension, salt, created) VALUES (?, ?, ?, ?, ?, ?)",
        (name, model, contract, dimension, token_bytes(16), to_micros(clock.now())),
    )


def insert_person(connection: Connection, collection: CollectionRow, person: Person) -> Person:
    """Store a person without faces.

    Returns:
        The person with the key.

    Raises:
        BadParameter: the id is malformed.
        DuplicateExternalId: another person of the collection has this external id.
    """
    details = person.details
    cursor = connection.execute(
        "INSERT INTO people (collection, id, external_hash, created, expires) VALUES (?, ?, ?, ?, ?)",
        (
            collection.record.key,
            checked_id(person.id),
            _free_external_hash(connection, collection, details.external_id),
            to_micros(person.created),
            optional_micros(details.expires),
        ),
    )
    assert cursor.lastrowid is not None
    connection.execute(
        "INSERT INTO person_contents (key, filler, content) VALUES (?, ?, ?)",
        (cursor.lastrowid, FILLER, pack_person(details)),
    )
    return replace(person, key=cursor.lastrowid, faces=0)


def update_person(
    connection: Connection, collection: CollectionRow, person: Person, changes: Mapping[str, Any]
) -> Person:
    """Change fields of the details of a person.

    Returns:
        The changed person.

    Raises:
        DuplicateExternalId: another person of the collection has this external id.
    """
    details = replace(person.details, **changes)
    if details.external_id != person.details.external_id:
        value = _free_external_hash(connection, collection, details.external_id)
        connection.execute("UPDATE people SET external_hash = ? WHERE key = ?", (value, person.key))
    connection.execute(
        "UPDATE people SET expires = ? WHERE key = ?",
        (optional_micros(details.expires), person.key),
    )
    connection.execute(
        "UPDATE person_contents SET content = ? WHERE key = ?", (pack_person(details), person.key)
    )
    return replace(person, details=details)


def merge_people(connection: Connection, person: Person, into: Person) -> None:
    """Give all faces of a person to another one, and delete the first.

    Raises:
        BadParameter: both are the same person.
    """
    require_two(person, into)
    connection.execute("UPDATE faces SET person = ? WHERE person = ?", (into.key, person.key))
    connection.execute("DELETE FROM people WHERE key = ?", (person.key,))


def insert_face(
    connection: Connection, collection: Collection, person: int, id: str, face: NewFace, created: datetime
) -> int | None:
    """Store a face of a person, unless the collection has a face with this id.

    Args:
        connection: the connection.
        collection: the collection.
        person: key of the person.
        id: id of the face.
        face: the face.
        created: when the face was created.

    Returns:
        The key of the face; None if its id exists.

    Raises:
        BadParameter: the id is malformed.
    """
    cursor = connection.execute(
        """
        INSERT INTO faces (collection, person, id, created, expires) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (collection, id) DO NOTHING
        """,
        (
            collection.key,
            person,
            checked_id(id),
            to_micros(created),
            optional_micros(face.expires),
        ),
    )
    if not cursor.rowcount:
        return None
    connection.execute(
        "INSERT INTO face_contents (key, filler, content) VALUES (?, ?, ?)",
        (cursor.lastrowid, FILLER, pack_face(face)),
    )
    return cursor.lastrowid


def import_records(
    connection: Connection, collection: CollectionRow, records: Iterable[PersonRecord], limits: Limits
) -> tuple[int, int]:
    """Store exported people and faces. See `GalleryStore.import_records`.

    Returns:
        The numbers of people and faces that were stored.

    Raises:
        BadParameter: an id is malformed.
        OtherEmbedding: a vector has another length.
        DuplicateExternalId: another person of the collection has the external id of a record.
        GalleryLimit: there would be too many people or faces.
    """
    people, faces = _totals(connection)
    before = people, faces
    for record in records:
        id = record.person.id
        found = people_where(
            connection, "people.collection = ? AND people.id = ?", collection.record.key, id_bytes(id)
        )
        person = found[0] if found else insert_person(connection, collection, record.person)
        people += not found
        added = 0
        for face, vector in zip(record.faces, record.vectors, strict=True):
            require_embedding(collection.record, collection.record.contract, len(vector))
            new = NewFace(vector, face.box, face.score, face.quality, face.source, face.expires)
            key = insert_face(connection, collection.record, person.key, face.id, new, face.created)
            added += key is not None
        faces += added
        require_at_most(limits, people=people, faces=faces, faces_per_person=person.faces + added)
    return people - before[0], faces - before[1]


def purge(connection: Connection, now: datetime, collection: str | None = None) -> list[Expired]:
    """Delete the people and faces that have expired.

    Args:
        connection: the connection.
        now: the time.
        collection: name of a collection; all if None.

    Returns:
        The people and faces, by collection.

    Raises:
        UnknownId: there is no collection of this name.
    """
    found = expired(connection, now, collection)
    for one in found:
        values = to_micros(now), collection_row(connection, one.collection).record.key
        for table in ("people", "faces"):
            connection.execute(f"DELETE FROM {table} WHERE expires <= ? AND +collection = ?", values)
    return found


def require_room(
    connection: Connection, limits: Limits, people: int = 0, faces: int = 0, faces_of_person: int = 0
) -> None:
    """Check that so many people and faces can be added, and that a person can have so many faces.

    Raises:
        GalleryLimit: a limit would be exceeded.
    """
    all_people, all_faces = _totals(connection)
    require_at_most(
        limits,
        people=all_people + people if people else 0,
        faces=all_faces + faces if faces else 0,
        faces_per_person=faces_of_person,
    )


def _totals(connection: Connection) -> tuple[int, int]:
    people, faces = connection.execute("SELECT sum(people), sum(faces) FROM collections").fetchone()
    return people or 0, faces or 0


def _free_external_hash(
    connection: Connection, collection: CollectionRow, external_id: str | None
) -> int | None:
    """Return the hash of an external id that nobody has; None if there is no external id.

    Raises:
        DuplicateExternalId: somebody has it.
    """
    if external_id is None:
        return None
    if person_with_external_id(connection, collection, external_id) is not None:
        refuse_external_id(collection.record, external_id)
    return external_hash(collection.salt, external_id)
