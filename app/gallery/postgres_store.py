"""The store of the gallery in PostgreSQL with pgvector, for several replicas of the service."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadParameter, GalleryUnavailable, UnknownId
from app.gallery.index import Match
from app.gallery.postgres import importing, mutations, queries
from app.gallery.postgres.changes import changes_after, last_position
from app.gallery.postgres.connections import Connections
from app.gallery.postgres.reading import read_people
from app.gallery.postgres.search import StoreSearch
from app.gallery.records import (
    Collection,
    Expired,
    Face,
    FaceChange,
    FaceVectors,
    Limits,
    NewFace,
    Person,
    PersonDetails,
    PersonRecord,
)
from app.gallery.rules import SNAPSHOT_S, known_keys, name_contains, new_person, require_embedding


class PostgresStore:
    """Keeps the gallery in a PostgreSQL database. See `GalleryStore` for its methods.

    The database is opened by the first method that needs it. What has expired is found by the earlier of the
    given time and the database's, because all replicas share it.

    Args:
        uri: a libpq URI.
        limits: the limits.
        connections: maximum number of connections.
        search: searches vectors in the database, and makes the indexes that it needs; None if no method
            searches.
        snapshot_s: maximum seconds for which `records` reads the state of one moment.

    Raises:
        GalleryUnavailable: the URI is malformed.
    """

    erases = False

    def __init__(
        self,
        uri: str,
        limits: Limits = Limits(),  # noqa: B008
        connections: int = 4,
        search: StoreSearch | None = None,
        snapshot_s: float = SNAPSHOT_S,
    ) -> None:
        self._database = Connections(uri, connections, search.settings if search else "")
        self._limits = limits
        self._search = search
        self._snapshot_s = snapshot_s

    def collections(self) -> list[Collection]:
        """Return all collections, by name."""
        with self._database.read() as connection:
            return queries.all_collections(connection)

    def collection(self, collection: str) -> Collection:
        """Return a collection."""
        with self._database.read() as connection:
            return queries.collection_row(connection, collection)

    def create_collection(
        self, collection: str, model: str, contract: str, dimension: int
    ) -> tuple[Collection, bool]:
        """Return a collection, which is created if there is none of this name."""
        with suppress(UnknownId):
            return self.collection(collection), False
        with self._database.write() as connection:
            with suppress(UnknownId):
                return queries.collection_row(connection, collection), False
            mutations.insert_collection(connection, self._limits, collection, model, contract, dimension)
            if self._search is not None:
                self._search.add_dimension(connection, dimension)
            return queries.collection_row(connection, collection), True

    def delete_collection(self, collection: str) -> None:
        """Delete a collection with its people and faces."""
        with self._database.write() as connection:
            mutations.delete_collection(connection, queries.collection_row(connection, collection))

    def add_person(self, collection: str, details: PersonDetails) -> Person:
        """Return a new person without faces, who is stored."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection)
            mutations.require_room(connection, self._limits, people=1)
            return mutations.insert_person(connection, row, new_person(details))

    def person(self, collection: str, person: str) -> Person:
        """Return a person."""
        with self._database.read() as connection:
            return queries.person_row(connection, queries.collection_row(connection, collection), person)

    def people(
        self,
        collection: str,
        limit: int,
        after: int = 0,
        name: str | None = None,
        external_id: str | None = None,
    ) -> list[Person]:
        """Return people of a collection, in the order in which they were created."""
        if name and external_id is None:
            return self._people_named(collection, limit, after, name)
        with self._database.read() as connection:
            row = queries.collection_row(connection, collection)
            if external_id is None:
                return queries.people_page(connection, row, limit, after)
            found = queries.person_with_external_id(connection, row, external_id)
        matches = found is not None and found.key > after and name_contains(found, name)
        return [found][:limit] if found is not None and matches else []

    def _people_named(self, collection: str, limit: int, after: int, name: str) -> list[Person]:
        found: list[Person] = []
        end: int | None = after
        while end is not None and len(found) < limit:
            with self._database.read() as connection:
                row = queries.collection_row(connection, collection)
                more, end = queries.search_names(connection, row, name, limit - len(found), end)
            found += more
        return found

    def people_by_key(self, keys: Iterable[int]) -> dict[int, Person]:
        """Return people by key, without those that do not exist."""
        with self._database.read() as connection:
            found = queries.people_where(connection, "key = ANY(%s)", known_keys(keys))
        return {person.key: person for person in found}

    def update_person(self, collection: str, person: str, changes: Mapping[str, Any]) -> Person:
        """Return a person after fields of `PersonDetails` were changed."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection)
            found = queries.person_row(connection, row, person)
            return mutations.update_person(connection, row, found, changes)

    def delete_person(self, collection: str, person: str) -> None:
        """Delete a person with all their faces."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection)
            mutations.delete_person(connection, queries.person_row(connection, row, person))

    def merge_people(self, collection: str, person: str, into: str) -> Person:
        """Return a person after all faces of another one were added, who is deleted."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection)
            first, second = (queries.person_row(connection, row, id) for id in (person, into))
            mutations.require_room(connection, self._limits, faces_of_person=first.faces + second.faces)
            mutations.merge_people(connection, first, second)
            return queries.person_row(connection, row, into)

    def add_face(
        self,
        collection: str,
        contract: str,
        person: str,
        face: NewFace,
        duplicate: Callable[[Sequence[Face], FaceVectors], Face | None],
    ) -> tuple[Face, bool]:
        """Return a face that is stored, or the duplicate of it that the person has."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection)
            require_embedding(row, contract, len(face.vector))
            owner = queries.person_row(connection, row, person)
            known = queries.faces_of(connection, [owner])
            found = duplicate(known, queries.vectors_of(connection, [owner], row.dimension))
            if found is not None:
                return found, False
            mutations.require_room(connection, self._limits, faces=1, faces_of_person=owner.faces + 1)
            id = uuid4().hex
            mutations.insert_face(connection, row, owner, id, face)
            return queries.face_row(connection, owner, id), True

    def faces(self, collection: str, person: str) -> list[Face]:
        """Return the faces of a person, in the order in which they were stored."""
        with self._database.read() as connection:
            row = queries.collection_row(connection, collection)
            return queries.faces_of(connection, [queries.person_row(connection, row, person)])

    def faces_by_key(self, keys: Iterable[int]) -> dict[int, Face]:
        """Return faces by key, without those that do not exist."""
        with self._database.read() as connection:
            found = queries.faces_where(connection, "f.key = ANY(%s)", known_keys(keys))
        return {face.key: face for face in found}

    def vectors(self, collection: str, person: str) -> FaceVectors:
        """Return the vectors of a person's faces."""
        with self._database.read() as connection:
            row = queries.collection_row(connection, collection)
            owner = queries.person_row(connection, row, person)
            return queries.vectors_of(connection, [owner], row.dimension)

    def delete_face(self, collection: str, person: str, face: str) -> None:
        """Delete a face."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection)
            found = queries.face_row(connection, queries.person_row(connection, row, person), face)
            connection.execute("DELETE FROM faces WHERE key = %s", (found.key,))

    def move_face(self, collection: str, person: str, face: str, to: str) -> Face:
        """Return a face after it was given to another person of the collection."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection)
            first, second = (queries.person_row(connection, row, id) for id in (person, to))
            found = queries.face_row(connection, first, face)
            if first.key != second.key:
                mutations.require_room(connection, self._limits, faces_of_person=second.faces + 1)
            connection.execute("UPDATE faces SET person = %s WHERE key = %s", (second.key, found.key))
            return queries.face_row(connection, second, face)

    def version(self) -> int:
        """Return a random number that each change of the store replaces."""
        return self._database.version()

    def last_change(self) -> int:
        """Return the position of the latest change of a face; 0 if there was none."""
        with self._database.read() as connection:
            return last_position(connection)

    def changes(self, after: int) -> tuple[int, list[FaceChange]] | None:
        """Return the changes of faces after this position; None if they are no longer known."""
        with self._database.read() as connection:
            return changes_after(connection, after)

    def load(self, collection: int, after: int, limit: int) -> FaceVectors:
        """Return faces of a collection with greater keys than `after`, in the order of their keys."""
        with self._database.read() as connection:
            return queries.vectors_page(connection, collection, after, limit)

    def vectors_by_key(self, faces: Iterable[int]) -> FaceVectors:
        """Return the vectors of faces by key, without those that do not exist."""
        with self._database.read() as connection:
            return queries.vectors_of_keys(connection, faces)

    def search(
        self, collection: Collection, probes: Float32[ndarray, "n d"], top: int, hidden: Sequence[int] = ()
    ) -> list[list[Match]]:
        """Return for each probe the most similar people by their best face, by descending similarity.

        Args:
            collection: the collection.
            probes: vectors of length 1.
            top: maximum number of people for each probe.
            hidden: keys of faces that are not found.

        Raises:
            GalleryUnavailable: the store was opened without a search, or the index is missing.
        """
        if self._search is None:
            raise GalleryUnavailable("The store was opened without a search. Set FACE_GALLERY_SEARCH=hnsw.")
        with self._database.read() as connection:
            return self._search.search(connection, collection, probes, top, hidden)

    def records(self, collection: str) -> Iterator[PersonRecord]:
        """Return all people of a collection with their faces, in the order in which they were created."""
        return read_people(self._database, collection, self._snapshot_s)

    def import_records(
        self, collection: str, contract: str, records: Iterable[PersonRecord]
    ) -> tuple[int, int]:
        """Return the numbers of people and faces that were stored, of those exported, with their ids."""
        with self._database.write(undone_late=True) as connection:
            row = queries.collection_row(connection, collection)
            require_embedding(row, contract, row.dimension)
            return importing.import_records(connection, row, records, self._limits)

    def expired(self, now: datetime, collection: str | None = None) -> list[Expired]:
        """Return the people and faces that have expired, by collection."""
        with self._database.read() as connection:
            return queries.expired(connection, queries.earlier(connection, now), collection)

    def expired_faces(self, collection: int, now: datetime) -> list[int]:
        """Return the keys of the faces that have expired, by themselves or with their person."""
        with self._database.read() as connection:
            return queries.expired_faces(connection, collection, queries.earlier(connection, now))

    def next_expiry(self) -> datetime | None:
        """Return when the next person or face expires; None if none does."""
        with self._database.read() as connection:
            return queries.next_expiry(connection)

    def purge(self, now: datetime, collection: str | None = None) -> list[Expired]:
        """Return the people and faces that have expired, by collection, after they were deleted."""
        if not self.expired(now, collection):
            return []  # another replica may have been first
        with self._database.write() as connection:
            return mutations.purge(connection, queries.earlier(connection, now), collection)

    def erase(self, timeout_s: float) -> bool:
        """Return True, as nothing is left to do.

        What was deleted can be read by no query. Its bytes stay in the files of the server until an operator
        rewrites them: a VACUUM marks their place as free, but does not overwrite it. See docs/privacy.md.
        """
        return True

    def backup(self, path: Path) -> None:
        """Refuse to copy the database.

        Raises:
            BadParameter: always.
        """
        raise BadParameter(
            "The gallery is in PostgreSQL. Back it up with `pg_dump --format=custom --schema=facet`."
        )

    def close(self) -> None:
        """Close the connections."""
        self._database.close()
