"""Changes of the PostgreSQL store. Each runs in a transaction of the caller, who undoes it on an error."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.gallery import clock
from app.gallery.postgres.queries import (
    Connection,
    collection_row,
    expired,
    external_bytes,
    person_with_external_id,
    rows,
)
from app.gallery.postgres.values import pack_vector
from app.gallery.records import Collection, Expired, Limits, NewFace, Person
from app.gallery.rules import (
    checked_id,
    details_json,
    optional_micros,
    refuse_external_id,
    require_at_most,
    require_two,
    search_key,
    to_micros,
)

_DELETED_AT_ONCE = 20_000
"""Rows that a statement deletes, so that it ends before its time limit."""


def insert_collection(
    connection: Connection, limits: Limits, name: str, model: str, contract: str, dimension: int
) -> None:
    """Store a collection.

    Raises:
        GalleryLimit: there are too many.
    """
    ((number,),) = rows(connection, "SELECT count(*) FROM collections")
    require_at_most(limits, collections=number + 1)
    connection.execute(
        "INSERT INTO collections (name, model, contract, dimension, created) VALUES (%s, %s, %s, %s, %s)",
        (name, model, contract, dimension, to_micros(clock.now())),
    )


def delete_collection(connection: Connection, collection: Collection) -> None:
    """Delete a collection with its people and faces."""
    _delete(connection, "faces", "collection = %s", collection.key)
    _delete(connection, "people", "collection = %s", collection.key)
    connection.execute("DELETE FROM collections WHERE key = %s", (collection.key,))


def insert_person(connection: Connection, collection: Collection, person: Person) -> Person:
    """Store a person without faces.

    Returns:
        The person with the key.

    Raises:
        BadParameter: the id is malformed.
        DuplicateExternalId: another person of the collection has this external id.
    """
    details = person.details
    _require_free(connection, collection, details.external_id)
    ((key,),) = rows(
        connection,
        """
        INSERT INTO people (collection, id, external_id, search_key, details, created, expires)
        VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING key
        """,
        collection.key,
        checked_id(person.id),
        external_bytes(details.external_id),
        search_key(details.name or ""),
        details_json(details),
        to_micros(person.created),
        optional_micros(details.expires),
    )
    return replace(person, key=key, faces=0)


def update_person(
    connection: Connection, collection: Collection, person: Person, changes: Mapping[str, Any]
) -> Person:
    """Change fields of the details of a person.

    Returns:
        The changed person.

    Raises:
        DuplicateExternalId: another person of the collection has this external id.
    """
    details = replace(person.details, **changes)
    if details.external_id != person.details.external_id:
        _require_free(connection, collection, details.external_id)
    connection.execute(
        "UPDATE people SET external_id = %s, search_key = %s, details = %s, expires = %s WHERE key = %s",
        (
            external_bytes(details.external_id),
            search_key(details.name or ""),
            details_json(details),
            optional_micros(details.expires),
            person.key,
        ),
    )
    return replace(person, details=details)


def delete_person(connection: Connection, person: Person) -> None:
    """Delete a person with all their faces."""
    connection.execute("DELETE FROM faces WHERE person = %s", (person.key,))
    connection.execute("DELETE FROM people WHERE key = %s", (person.key,))


def merge_people(connection: Connection, person: Person, into: Person) -> None:
    """Give all faces of a person to another one, and delete the first.

    Raises:
        BadParameter: both are the same person.
    """
    require_two(person, into)
    connection.execute("UPDATE faces SET person = %s WHERE person = %s", (into.key, person.key))
    connection.execute("DELETE FROM people WHERE key = %s", (person.key,))


def insert_face(
    connection: Connection, collection: Collection, person: Person, id: str, face: NewFace
) -> None:
    """Store a face of a person, with an id that is new."""
    connection.execute(
        """
        INSERT INTO faces (collection, person, id, box, score, quality, source, created, expires, vector)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            collection.key,
            person.key,
            checked_id(id),
            list(map(float, face.box)),
            face.score,
            face.quality,
            face.source,
            to_micros(clock.now()),
            optional_micros(face.expires),
            pack_vector(face.vector),
        ),
    )


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
        values = to_micros(now), collection_row(connection, one.collection).key
        of_people = "person IN (SELECT key FROM people WHERE expires <= %s AND collection = %s)"
        _delete(connection, "faces", of_people, *values)
        _delete(connection, "people", "expires <= %s AND collection = %s", *values)
        _delete(connection, "faces", "expires <= %s AND collection = %s", *values)
    return found


def require_room(
    connection: Connection, limits: Limits, people: int = 0, faces: int = 0, faces_of_person: int = 0
) -> None:
    """Check that so many people and faces can be added, and that a person can have so many faces.

    Raises:
        GalleryLimit: a limit would be exceeded.
    """
    all_people, all_faces = totals(connection)
    require_at_most(
        limits,
        people=all_people + people if people else 0,
        faces=all_faces + faces if faces else 0,
        faces_per_person=faces_of_person,
    )


def totals(connection: Connection) -> tuple[int, int]:
    """Return the numbers of people and faces in all collections."""
    query = "SELECT coalesce(sum(people), 0)::bigint, coalesce(sum(faces), 0)::bigint FROM collections"
    ((people, faces),) = rows(connection, query)
    return people, faces


def _delete(connection: Connection, table: str, condition: str, *values: int) -> None:
    """Delete rows, by many statements if they are many."""
    query = f"DELETE FROM {table} WHERE key IN (SELECT key FROM {table} WHERE {condition} LIMIT %s)"
    while connection.execute(query, (*values, _DELETED_AT_ONCE)).rowcount:
        pass


def _require_free(connection: Connection, collection: Collection, external_id: str | None) -> None:
    """Check that nobody has an external id.

    Raises:
        DuplicateExternalId: somebody has it.
    """
    if external_id is not None and person_with_external_id(connection, collection, external_id) is not None:
        refuse_external_id(collection, external_id)
