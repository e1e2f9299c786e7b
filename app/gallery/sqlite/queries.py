"""Queries of the SQLite store, which return records. Each runs within a transaction of the caller.

All rows are fetched before they are converted: a statement that an exception interrupts keeps its
transaction open.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from sqlite3 import Connection
from typing import NamedTuple

from app.gallery.records import Collection, Expired, Face, FaceChange, FaceVectors, Person
from app.gallery.rules import (
    MAX_KEY,
    from_micros,
    id_bytes,
    known_keys,
    refuse_collection,
    refuse_face,
    refuse_person,
    search_key,
    to_micros,
)
from app.gallery.sqlite.contents import external_hash, unpack_face, unpack_person, unpack_vectors

KEYS = "(SELECT value FROM json_each(?))"
"""The keys of `key_list`, in SQL."""

_COLLECTION = "SELECT key, name, model, contract, dimension, people, faces, created, salt FROM collections"
_PERSON = """
    SELECT people.key, people.id, people.faces, people.created, people.expires, person_contents.content
    FROM people JOIN person_contents USING (key)
"""
_CONTENT = "person_contents.content"
_FACE = """
    SELECT faces.key, faces.id, people.id, faces.created, faces.expires, face_contents.content
    FROM faces JOIN face_contents USING (key) JOIN people ON people.key = faces.person
"""
_VECTOR = """
    SELECT faces.key, faces.person, face_contents.content
    FROM faces JOIN face_contents USING (key)
"""


class CollectionRow(NamedTuple):
    """A collection, and the salt of its hashes of external ids."""

    record: Collection
    salt: bytes


def collection_row(connection: Connection, name: str) -> CollectionRow:
    """Return a collection.

    Raises:
        UnknownId: there is none of this name.
    """
    rows = _collections(connection, "WHERE name = ?", _text(name))
    if not rows:
        refuse_collection(name)
    return rows[0]


def all_collections(connection: Connection) -> list[CollectionRow]:
    """Return all collections, by name."""
    return _collections(connection, "ORDER BY name")


def _collections(connection: Connection, rest: str, *values: object) -> list[CollectionRow]:
    return [
        CollectionRow(
            Collection(key, name, model, contract, dimension, people, faces, from_micros(created)), salt
        )
        for key, name, model, contract, dimension, people, faces, created, salt in connection.execute(
            f"{_COLLECTION} {rest}", values
        ).fetchall()
    ]


def person_row(connection: Connection, collection: Collection, person: str) -> Person:
    """Return a person.

    Raises:
        UnknownId: the collection has no person with this id.
    """
    found = people_where(
        connection, "people.collection = ? AND people.id = ?", collection.key, id_bytes(person)
    )
    if not found:
        refuse_person(collection, person)
    return found[0]


def people_where(connection: Connection, condition: str, *values: object) -> list[Person]:
    """Return the people who fulfil a condition in SQL."""
    return [
        Person(key, id.hex(), unpack_person(content, expires), faces, from_micros(created))
        for key, id, faces, created, expires, content in connection.execute(
            f"{_PERSON} WHERE {condition}", values
        ).fetchall()
    ]


def person_with_external_id(
    connection: Connection, collection: CollectionRow, external_id: str
) -> Person | None:
    """Return the person of a collection with an external id."""
    found = people_where(
        connection,
        "people.collection = ? AND people.external_hash = ?",
        collection.record.key,
        external_hash(collection.salt, external_id),
    )
    return next((person for person in found if person.details.external_id == external_id), None)


def people_page(connection: Connection, collection: Collection, limit: int, after: int) -> list[Person]:
    """Return people of a collection with greater keys than `after`, by key."""
    condition = "people.collection = ? AND people.key > ? ORDER BY people.key LIMIT ?"
    return people_where(connection, condition, collection.key, min(after, MAX_KEY), limit)


def search_names(
    connection: Connection, collection: Collection, text: str, limit: int, after: int
) -> tuple[list[Person], int | None]:
    """Search the names of the next 10,000 people, which takes about 30 ms.

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
    end = connection.execute(
        "SELECT key FROM people WHERE collection = ? AND key > ? ORDER BY key LIMIT 1 OFFSET 9999",
        (collection.key, first),
    ).fetchone()
    last = end[0] if end else MAX_KEY
    condition = f"""
        people.collection = ? AND people.key > ? AND people.key <= ?
        AND instr(substr({_CONTENT}, 1, instr({_CONTENT}, x'00') - 1), ?) > 0
        ORDER BY people.key LIMIT ?
    """
    found = people_where(connection, condition, collection.key, first, last, search_key(text), limit)
    return found, end[0] if end else None


def face_row(connection: Connection, person: Person, face: str) -> Face:
    """Return a face of a person.

    Raises:
        UnknownId: the person has no face with this id.
    """
    found = faces_where(connection, "faces.person = ? AND faces.id = ?", person.key, id_bytes(face))
    if not found:
        refuse_face(person, face)
    return found[0]


def faces_where(connection: Connection, condition: str, *values: object) -> list[Face]:
    """Return the faces that fulfil a condition in SQL."""
    rows = connection.execute(f"{_FACE} WHERE {condition}", values).fetchall()
    return [_face(*row) for row in rows]


def _face(key: int, id: bytes, person: bytes, created: int, expires: int | None, content: bytes) -> Face:
    known = unpack_face(content, expires)
    return Face(
        key=key,
        id=id.hex(),
        person=person.hex(),
        box=known.box,
        score=known.score,
        quality=known.quality,
        source=known.source,
        created=from_micros(created),
        expires=known.expires,
    )


def faces_of(connection: Connection, person: Person) -> list[Face]:
    """Return the faces of a person, by key."""
    return faces_where(connection, "faces.person = ? ORDER BY faces.key", person.key)


def vectors_of(connection: Connection, person: Person, dimension: int) -> FaceVectors:
    """Return the vectors of a person's faces, by key."""
    return vectors_where(connection, dimension, "faces.person = ? ORDER BY faces.key", person.key)


def vectors_where(connection: Connection, dimension: int, condition: str, *values: object) -> FaceVectors:
    """Return the vectors, of this length, of the faces that fulfil a condition in SQL."""
    rows = connection.execute(f"{_VECTOR} WHERE {condition}", values).fetchall()
    return FaceVectors(
        faces=[row[0] for row in rows],
        people=[row[1] for row in rows],
        vectors=unpack_vectors([row[2] for row in rows], dimension),
    )


def vectors_of_keys(connection: Connection, keys: Iterable[int]) -> FaceVectors:
    """Return the vectors of faces by key, without those that do not exist.

    Raises:
        ValueError: the faces have vectors of different lengths, because they are of different collections.
    """
    listed = key_list(keys)
    dimensions = connection.execute(
        f"""
        SELECT DISTINCT collections.dimension
        FROM faces JOIN collections ON collections.key = faces.collection WHERE faces.key IN {KEYS}
        """,
        (listed,),
    ).fetchall()
    if len(dimensions) > 1:
        raise ValueError("The faces have vectors of different lengths. Ask for the faces of one collection.")
    dimension = dimensions[0][0] if dimensions else 0
    return vectors_where(connection, dimension, f"faces.key IN {KEYS} ORDER BY faces.key", listed)


def vectors_page(connection: Connection, collection: int, after: int, limit: int) -> FaceVectors:
    """Return the vectors of faces of a collection, by key.

    Args:
        connection: the connection.
        collection: key of the collection.
        after: return faces with a greater key.
        limit: maximum number of faces.
    """
    row = connection.execute("SELECT dimension FROM collections WHERE key = ?", (collection,)).fetchone()
    condition = "faces.collection = ? AND faces.key > ? ORDER BY faces.key LIMIT ?"
    return vectors_where(connection, row[0] if row else 0, condition, collection, min(after, MAX_KEY), limit)


def numbers_of_changes(connection: Connection) -> tuple[int, int]:
    """Return the number before the first known change, and the number of the latest; 0 if there was none."""
    query = "SELECT (SELECT min(number) FROM changes), (SELECT max(number) FROM changes)"
    first, last = connection.execute(query).fetchone()
    return (first - 1, last) if last else (0, 0)


def changes_after(connection: Connection, number: int) -> list[FaceChange]:
    """Return the changes with greater numbers, in their order."""
    rows = connection.execute(
        "SELECT collection, face, person FROM changes WHERE number > ? ORDER BY number", (number,)
    )
    return [FaceChange(*row) for row in rows]


class Latest(NamedTuple):
    """The greatest number of a change and the greatest key of a face; 0 without one."""

    change: int
    face: int


def latest(connection: Connection) -> Latest:
    """Return the latest change and face."""
    (face,) = connection.execute("SELECT coalesce(max(key), 0) FROM faces").fetchone()
    return Latest(numbers_of_changes(connection)[1], face)


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
    first, last = numbers_of_changes(connection)
    if not first <= start.change <= last:
        return True
    (is_deleted,) = connection.execute(
        "SELECT NOT EXISTS (SELECT 1 FROM collections WHERE key = ?)", (collection.key,)
    ).fetchone()
    (moves,) = connection.execute(  # the first change of a new face is not a move
        """
        SELECT count(*) - count(DISTINCT CASE WHEN face > ? THEN face END) FROM changes
        WHERE number > ? AND collection = ? AND person IS NOT NULL
        """,
        (start.face, start.change, collection.key),
    ).fetchone()
    return bool(is_deleted or moves)


def next_expiry(connection: Connection) -> datetime | None:
    """Return when the next person or face expires; None if none does."""
    (micros,) = connection.execute(
        """
        SELECT min(expires) FROM (
          SELECT min(expires) AS expires FROM people WHERE expires IS NOT NULL
          UNION ALL SELECT min(expires) FROM faces WHERE expires IS NOT NULL
        )
        """
    ).fetchone()
    return None if micros is None else from_micros(micros)


def expired(connection: Connection, now: datetime, collection: str | None = None) -> list[Expired]:
    """Return the people and faces that have expired, by collection.

    Args:
        connection: the connection.
        now: the time.
        collection: name of a collection; all if None.

    Raises:
        UnknownId: there is no collection of this name.
    """
    rows = all_collections(connection) if collection is None else [collection_row(connection, collection)]
    names = {row.record.key: row.record.name for row in rows}
    known = key_list(names)
    people: dict[int, list[str]] = {key: [] for key in names}
    faces: dict[int, list[str]] = {key: [] for key in names}
    for key, id in connection.execute(
        f"SELECT collection, id FROM people WHERE expires <= ? AND +collection IN {KEYS} ORDER BY key",
        (to_micros(now), known),
    ).fetchall():
        people[key].append(id.hex())
    for key, id in connection.execute(
        f"""
        SELECT faces.collection, faces.id FROM faces JOIN people ON people.key = faces.person
        WHERE faces.expires <= ? AND +faces.collection IN {KEYS}
        AND NOT coalesce(people.expires <= ?, FALSE) ORDER BY faces.key
        """,
        (to_micros(now), known, to_micros(now)),
    ).fetchall():
        faces[key].append(id.hex())
    return [Expired(names[key], people[key], faces[key]) for key in names if people[key] or faces[key]]


def expired_faces(connection: Connection, collection: int, now: datetime) -> list[int]:
    """Return the keys of the faces of a collection that have expired, by themselves or with their person."""
    query = """
        SELECT key FROM faces WHERE expires <= :now AND +collection = :collection
        UNION SELECT faces.key FROM people JOIN faces ON faces.person = people.key
        WHERE people.expires <= :now AND +people.collection = :collection
    """
    found = connection.execute(query, {"now": to_micros(now), "collection": collection}).fetchall()
    return [key for (key,) in found]


def key_list(keys: Iterable[int]) -> str:
    """Return the value of the parameter in `KEYS`."""
    return json.dumps(known_keys(keys))


def _text(text: str) -> str | None:
    """Return a text that SQLite can compare; None, which equals nothing, if it has lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return text
