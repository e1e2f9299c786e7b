"""Queries of the PostgreSQL store, which return records. Each runs within a transaction of the caller."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from app.gallery.postgres.values import unpack_vectors
from app.gallery.records import Collection, Expired, Face, FaceVectors, Person
from app.gallery.rules import (
    MAX_KEY,
    details_of,
    from_micros,
    id_bytes,
    known_keys,
    refuse_collection,
    refuse_face,
    refuse_person,
    search_key,
    to_micros,
)

Connection = psycopg.Connection[tuple[Any, ...]]

_NAMES_AT_ONCE = 10_000
_PERSON = "SELECT key, id, faces, created, expires, details FROM people"
_FACE = """
    SELECT f.key, f.id, p.id, f.box, f.score, f.quality, f.source, f.created, f.expires
    FROM faces f JOIN people p ON p.key = f.person
"""


def rows(connection: Connection, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query, which are sent in binary form."""
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(query, values).fetchall()


def all_collections(connection: Connection) -> list[Collection]:
    """Return all collections, by name."""
    return _collections(connection, 'ORDER BY name COLLATE "C"')


def collection_row(connection: Connection, name: str) -> Collection:
    """Return a collection.

    Raises:
        UnknownId: there is none of this name.
    """
    found = _collections(connection, "WHERE name = %s", name) if _is_storable(name) else []
    return found[0] if found else refuse_collection(name)


def _collections(connection: Connection, rest: str, *values: object) -> list[Collection]:
    query = f"SELECT key, name, model, contract, dimension, people, faces, created FROM collections {rest}"
    return [
        Collection(key, name, model, contract, dimension, people, faces, from_micros(created))
        for key, name, model, contract, dimension, people, faces, created in rows(connection, query, *values)
    ]


def people_where(connection: Connection, condition: str, *values: object) -> list[Person]:
    """Return the people who fulfil a condition in SQL."""
    return [
        Person(key, id.hex(), details_of(details, expires), faces, from_micros(created))
        for key, id, faces, created, expires, details in rows(
            connection, f"{_PERSON} WHERE {condition}", *values
        )
    ]


def person_row(connection: Connection, collection: Collection, person: str) -> Person:
    """Return a person.

    Raises:
        UnknownId: the collection has no person with this id.
    """
    found = people_where(connection, "collection = %s AND id = %s", collection.key, id_bytes(person))
    return found[0] if found else refuse_person(collection, person)


def person_with_external_id(
    connection: Connection, collection: Collection, external_id: str
) -> Person | None:
    """Return the person of a collection with an external id."""
    condition = "collection = %s AND external_id = %s"
    found = people_where(connection, condition, collection.key, external_bytes(external_id))
    return found[0] if found else None


def people_page(connection: Connection, collection: Collection, limit: int, after: int) -> list[Person]:
    """Return people of a collection with greater keys than `after`, by key."""
    condition = "collection = %s AND key > %s ORDER BY key LIMIT %s"
    return people_where(connection, condition, collection.key, min(after, MAX_KEY), min(limit, MAX_KEY))


def search_names(
    connection: Connection, collection: Collection, text: str, limit: int, after: int
) -> tuple[list[Person], int | None]:
    """Search the names of the next 10,000 people.

    Args:
        connection: the connection.
        collection: the collection.
        text: what the names contain; case is ignored.
        limit: maximum number of people.
        after: search people with a greater key.

    Returns:
        The people, by key, and the key of the last one searched; None at the end of the collection.
    """
    first = min(after, MAX_KEY)
    end = rows(
        connection,
        "SELECT key FROM people WHERE collection = %s AND key > %s ORDER BY key LIMIT 1 OFFSET %s",
        collection.key,
        first,
        _NAMES_AT_ONCE - 1,
    )
    last = end[0][0] if end else MAX_KEY
    condition = """
        collection = %s AND key > %s AND key <= %s AND position(%s::bytea IN search_key) > 0
        ORDER BY key LIMIT %s
    """
    found = people_where(connection, condition, collection.key, first, last, search_key(text), limit)
    return found, end[0][0] if end else None


def faces_where(connection: Connection, condition: str, *values: object) -> list[Face]:
    """Return the faces that fulfil a condition in SQL, where `f` is the table."""
    return [
        Face(
            key=key,
            id=id.hex(),
            person=person.hex(),
            box=tuple(box),
            score=score,
            quality=quality,
            source=source,
            created=from_micros(created),
            expires=None if expires is None else from_micros(expires),
        )
        for key, id, person, box, score, quality, source, created, expires in rows(
            connection, f"{_FACE} WHERE {condition}", *values
        )
    ]


def face_row(connection: Connection, person: Person, face: str) -> Face:
    """Return a face of a person.

    Raises:
        UnknownId: the person has no face with this id.
    """
    found = faces_where(connection, "f.person = %s AND f.id = %s", person.key, id_bytes(face))
    return found[0] if found else refuse_face(person, face)


def faces_of(connection: Connection, people: Iterable[Person]) -> list[Face]:
    """Return the faces of people, by key."""
    keys = [person.key for person in people]
    return faces_where(connection, "f.person = ANY(%s) ORDER BY f.key", keys)


def vectors_of(connection: Connection, people: Iterable[Person], dimension: int) -> FaceVectors:
    """Return the vectors of people's faces, by key."""
    keys = [person.key for person in people]
    return vectors_where(connection, dimension, "person = ANY(%s) ORDER BY key", keys)


def vectors_where(connection: Connection, dimension: int, condition: str, *values: object) -> FaceVectors:
    """Return the vectors, of this length, of the faces that fulfil a condition in SQL."""
    found = rows(connection, f"SELECT key, person, vector FROM faces WHERE {condition}", *values)
    return FaceVectors(
        faces=[row[0] for row in found],
        people=[row[1] for row in found],
        vectors=unpack_vectors([row[2] for row in found], dimension),
    )


def vectors_of_keys(connection: Connection, keys: Iterable[int]) -> FaceVectors:
    """Return the vectors of faces by key, without those that do not exist.

    Raises:
        ValueError: the faces have vectors of different lengths, because they are of different collections.
    """
    listed = known_keys(keys)
    query = "SELECT DISTINCT vector_dims(vector) FROM faces WHERE key = ANY(%s)"
    dimensions = rows(connection, query, listed)
    if len(dimensions) > 1:
        raise ValueError("The faces have vectors of different lengths. Ask for the faces of one collection.")
    dimension = dimensions[0][0] if dimensions else 0
    return vectors_where(connection, dimension, "key = ANY(%s) ORDER BY key", listed)


def vectors_page(connection: Connection, collection: int, after: int, limit: int) -> FaceVectors:
    """Return the vectors of faces of a collection, by key.

    Args:
        connection: the connection.
        collection: key of the collection.
        after: return faces with a greater key.
        limit: maximum number of faces.
    """
    found = rows(connection, "SELECT dimension FROM collections WHERE key = %s", collection)
    condition = "collection = %s AND key > %s ORDER BY key LIMIT %s"
    dimension = found[0][0] if found else 0
    return vectors_where(connection, dimension, condition, collection, min(after, MAX_KEY), limit)


def next_expiry(connection: Connection) -> datetime | None:
    """Return when the next person or face expires; None if none does."""
    query = """
        SELECT least((SELECT min(expires) FROM people WHERE expires IS NOT NULL),
                     (SELECT min(expires) FROM faces WHERE expires IS NOT NULL))
    """
    ((micros,),) = rows(connection, query)
    return None if micros is None else from_micros(micros)


def earlier(connection: Connection, now: datetime) -> datetime:
    """Return the earlier of a time and the time of the database.

    What has expired only for a replica whose clock is fast is neither hidden nor deleted.
    """
    query = "SELECT least(%s, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)"
    ((micros,),) = rows(connection, query, to_micros(now))
    return from_micros(micros)


class _Found(NamedTuple):
    people: list[str]
    faces: list[str]


def expired(connection: Connection, now: datetime, collection: str | None = None) -> list[Expired]:
    """Return the people and faces that have expired, by collection.

    Args:
        connection: the connection.
        now: the time.
        collection: name of a collection; all if None.

    Raises:
        UnknownId: there is no collection of this name.
    """
    known = all_collections(connection) if collection is None else [collection_row(connection, collection)]
    found = {one.key: (one.name, _Found([], [])) for one in known}
    keys, micros = list(found), to_micros(now)
    for key, id in rows(
        connection,
        "SELECT collection, id FROM people WHERE expires <= %s AND collection = ANY(%s) ORDER BY key",
        micros,
        keys,
    ):
        found[key][1].people.append(id.hex())
    for key, id in rows(
        connection,
        """
        SELECT f.collection, f.id FROM faces f JOIN people p ON p.key = f.person
        WHERE f.expires <= %s AND f.collection = ANY(%s) AND NOT coalesce(p.expires <= %s, FALSE)
        ORDER BY f.key
        """,
        micros,
        keys,
        micros,
    ):
        found[key][1].faces.append(id.hex())
    return [Expired(name, one.people, one.faces) for name, one in found.values() if one.people or one.faces]


def expired_faces(connection: Connection, collection: int, now: datetime) -> list[int]:
    """Return the keys of the faces of a collection that have expired, by themselves or with their person."""
    query = """
        SELECT key FROM faces WHERE expires <= %s AND collection = %s
        UNION SELECT f.key FROM people p JOIN faces f ON f.person = p.key
        WHERE p.expires <= %s AND p.collection = %s
    """
    micros = to_micros(now)
    return [key for (key,) in rows(connection, query, micros, collection, micros, collection)]


def external_bytes(external_id: str | None) -> bytes | None:
    """Return an external id as stored: PostgreSQL's text has neither zeros nor lone surrogates."""
    return None if external_id is None else external_id.encode("utf-8", "surrogatepass")


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
