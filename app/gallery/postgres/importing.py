"""Import of exported people and faces into the PostgreSQL store, in batches."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from app.gallery.postgres.mutations import totals
from app.gallery.postgres.queries import Connection, external_bytes, rows
from app.gallery.postgres.values import pack_vector
from app.gallery.records import Collection, Limits, Person, PersonRecord
from app.gallery.rules import (
    checked_id,
    details_json,
    optional_micros,
    refuse_external_id,
    require_at_most,
    require_embedding,
    search_key,
    to_micros,
)

_PEOPLE_AT_ONCE = 500
_FACES_AT_ONCE = 200
"""Faces that a statement inserts, so that it ends before its time limit: HNSW takes long for each."""
_COLUMNS = "person, id, box, score, quality, source, created, expires, vector"
_TYPES = (
    "int8", "bytea", "float8[]", "float8", "float8", "bytea", "int8", "int8", "bytea",
)  # fmt: skip


def import_records(
    connection: Connection, collection: Collection, records: Iterable[PersonRecord], limits: Limits
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
    before = people, faces = totals(connection)
    connection.execute(
        "CREATE TEMPORARY TABLE new_faces (position bigint GENERATED ALWAYS AS IDENTITY, LIKE faces) "
        "ON COMMIT DROP"
    )
    connection.execute("ALTER TABLE new_faces ALTER key DROP NOT NULL, ALTER collection DROP NOT NULL")
    source = iter(records)
    while batch := list(islice(source, _PEOPLE_AT_ONCE)):
        for record in batch:
            require_embedding(collection, collection.contract, record.vectors.shape[1])
        keys, added = _add_people(connection, collection, [record.person for record in batch])
        people += added
        require_at_most(limits, people=people)
        new = _face_rows(batch, keys)
        while some := list(islice(new, _FACES_AT_ONCE)):
            numbers = _add_faces(connection, collection, some)
            faces += sum(numbers.values())
            most = max((count for _, count in rows(connection, _COUNTS, list(numbers))), default=0)
            require_at_most(limits, faces=faces, faces_per_person=most)
    return people - before[0], faces - before[1]


_COUNTS = "SELECT key, faces FROM people WHERE key = ANY(%s)"


def _add_people(
    connection: Connection, collection: Collection, people: Sequence[Person]
) -> tuple[dict[bytes, int], int]:
    """Store the people whose ids are new.

    Returns:
        The key of each person by the id, and how many are new.
    """
    ids = list(dict.fromkeys(checked_id(person.id) for person in people))
    query = "SELECT id, key FROM people WHERE collection = %s AND id = ANY(%s)"
    keys: dict[bytes, int] = dict(rows(connection, query, collection.key, ids))
    new = list({id: p for p in reversed(people) if (id := checked_id(p.id)) not in keys}.values())[::-1]
    external = [p.details.external_id for p in new if p.details.external_id is not None]
    taken = rows(
        connection,
        "SELECT external_id FROM people WHERE collection = %s AND external_id = ANY(%s)",
        collection.key,
        [external_bytes(one) for one in external],
    )
    known = {bytes(row[0]) for row in taken}
    for one in external:
        value = external_bytes(one)
        assert value is not None
        if value in known:
            refuse_external_id(collection, one)
        known.add(value)
    stored = rows(
        connection,
        """
        INSERT INTO people (collection, id, external_id, search_key, details, created, expires)
        SELECT %s, id, external_id, search_key, details, created, expires
        FROM unnest(%s::bytea[], %s::bytea[], %s::bytea[], %s::text[], %s::bigint[], %s::bigint[])
          WITH ORDINALITY AS new (id, external_id, search_key, details, created, expires, position)
        ORDER BY position
        RETURNING id, key
        """,
        collection.key,
        [checked_id(p.id) for p in new],
        [external_bytes(p.details.external_id) for p in new],
        [search_key(p.details.name or "") for p in new],
        [details_json(p.details) for p in new],
        [to_micros(p.created) for p in new],
        [optional_micros(p.details.expires) for p in new],
    )
    return {**keys, **dict(stored)}, len(new)


def _face_rows(batch: Iterable[PersonRecord], keys: dict[bytes, int]) -> Iterator[tuple[object, ...]]:
    """Yield the values of `_COLUMNS` for each face of exported people."""
    for record in batch:
        person = keys[checked_id(record.person.id)]
        for face, vector in zip(record.faces, record.vectors, strict=True):
            yield (
                person,
                checked_id(face.id),
                [float(edge) for edge in face.box],
                float(face.score),
                None if face.quality is None else float(face.quality),
                face.source,
                to_micros(face.created),
                optional_micros(face.expires),
                bytes(pack_vector(np.asarray(vector, np.float32))),
            )


def _add_faces(
    connection: Connection, collection: Collection, faces: Iterable[tuple[object, ...]]
) -> dict[int, int]:
    """Store the faces whose ids are new, by the values of `_COLUMNS`.

    Returns:
        The number of new faces by the key of the person.
    """
    copy = f"COPY new_faces ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(copy) as writer:
        writer.set_types(_TYPES)
        for face in faces:
            writer.write_row(face)
    stored = rows(
        connection,
        f"""
        WITH added AS (
          INSERT INTO faces (collection, {_COLUMNS})
          SELECT %s, {_COLUMNS} FROM new_faces ORDER BY position
          ON CONFLICT (collection, id) DO NOTHING RETURNING person
        )
        SELECT person, count(*) FROM added GROUP BY person
        """,
        collection.key,
    )
    connection.execute("TRUNCATE new_faces")
    return dict(stored)
