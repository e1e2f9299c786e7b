"""The default store of the gallery: one SQLite file, which several processes may use at the same time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from app.errors import GalleryUnavailable, UnknownId
from app.gallery import clock
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
from app.gallery.rules import SNAPSHOT_S, name_contains, new_person, require_embedding
from app.gallery.sqlite import mutations, queries
from app.gallery.sqlite.checks import problems
from app.gallery.sqlite.database import Database
from app.gallery.sqlite.reading import read_people

_NUMBER_BITS = 40
"""Bits of the numbers of changes in a file. The bits above count how often the file was replaced."""


class SqliteStore:
    """Keeps the gallery in a SQLite file. See `GalleryStore` for its methods.

    Args:
        path: the file. It is created, with its folder, if it does not exist.
        limits: the limits.
        snapshot_s: maximum seconds for which `records` reads the state of one moment.

    Raises:
        GalleryUnavailable: the file cannot be used.
    """

    erases = True

    def __init__(
        self,
        path: Path,
        limits: Limits = Limits(),  # noqa: B008
        snapshot_s: float = SNAPSHOT_S,
    ) -> None:
        self._database = Database(path)
        self._limits = limits
        self._snapshot_s = snapshot_s

    def collections(self) -> list[Collection]:
        """Return all collections, by name."""
        with self._database.read() as connection:
            return [row.record for row in queries.all_collections(connection)]

    def collection(self, collection: str) -> Collection:
        """Return a collection."""
        with self._database.read() as connection:
            return queries.collection_row(connection, collection).record

    def create_collection(
        self, collection: str, model: str, contract: str, dimension: int
    ) -> tuple[Collection, bool]:
        """Return a collection, which is created if there is none of this name."""
        with self._database.write() as connection:
            with suppress(UnknownId):
                return queries.collection_row(connection, collection).record, False
            mutations.insert_collection(connection, self._limits, collection, model, contract, dimension)
            return queries.collection_row(connection, collection).record, True

    def delete_collection(self, collection: str) -> None:
        """Delete a collection with its people and faces."""
        with self._database.write() as connection:
            key = queries.collection_row(connection, collection).record.key
            connection.execute("DELETE FROM collections WHERE key = ?", (key,))

    def add_person(self, collection: str, details: PersonDetails) -> Person:
        """Return a new person without faces, who is stored."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection)
            mutations.require_room(connection, self._limits, people=1)
            return mutations.insert_person(connection, row, new_person(details))

    def person(self, collection: str, person: str) -> Person:
        """Return a person."""
        with self._database.read() as connection:
            return queries.person_row(
                connection, queries.collection_row(connection, collection).record, person
            )

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
                return queries.people_page(connection, row.record, limit, after)
            found = queries.person_with_external_id(connection, row, external_id)
        matches = found is not None and found.key > after and name_contains(found, name)
        return [found][:limit] if found is not None and matches else []

    def _people_named(self, collection: str, limit: int, after: int, name: str) -> list[Person]:
        found: list[Person] = []
        end: int | None = after
        while end is not None and len(found) < limit:
            with (
                self._database.read() as connection
            ):  # several short ones, so that others can read in between
                row = queries.collection_row(connection, collection).record
                more, end = queries.search_names(connection, row, name, limit - len(found), end)
            found += more
        return found

    def people_by_key(self, keys: Iterable[int]) -> dict[int, Person]:
        """Return people by key, without those that do not exist."""
        with self._database.read() as connection:
            found = queries.people_where(connection, f"people.key IN {queries.KEYS}", queries.key_list(keys))
        return {person.key: person for person in found}

    def update_person(self, collection: str, person: str, changes: Mapping[str, Any]) -> Person:
        """Return a person after fields of `PersonDetails` were changed."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection)
            found = queries.person_row(connection, row.record, person)
            return mutations.update_person(connection, row, found, changes)

    def delete_person(self, collection: str, person: str) -> None:
        """Delete a person with all their faces."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection)
            found = queries.person_row(connection, row.record, person)
            connection.execute("DELETE FROM people WHERE key = ?", (found.key,))

    def merge_people(self, collection: str, person: str, into: str) -> Person:
        """Return a person after all faces of another one were added, who is deleted."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection).record
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
            row = queries.collection_row(connection, collection).record
            require_embedding(row, contract, len(face.vector))
            owner = queries.person_row(connection, row, person)
            known = queries.faces_of(connection, owner)
            found = duplicate(known, queries.vectors_of(connection, owner, row.dimension))
            if found is not None:
                return found, False
            mutations.require_room(connection, self._limits, faces=1, faces_of_person=owner.faces + 1)
            id, now = uuid4().hex, clock.now()
            mutations.insert_face(connection, row, owner.key, id, face, now)
            return queries.face_row(connection, owner, id), True

    def faces(self, collection: str, person: str) -> list[Face]:
        """Return the faces of a person, in the order in which they were stored."""
        with self._database.read() as connection:
            row = queries.collection_row(connection, collection).record
            return queries.faces_of(connection, queries.person_row(connection, row, person))

    def faces_by_key(self, keys: Iterable[int]) -> dict[int, Face]:
        """Return faces by key, without those that do not exist."""
        with self._database.read() as connection:
            found = queries.faces_where(connection, f"faces.key IN {queries.KEYS}", queries.key_list(keys))
        return {face.key: face for face in found}

    def vectors(self, collection: str, person: str) -> FaceVectors:
        """Return the vectors of a person's faces."""
        with self._database.read() as connection:
            row = queries.collection_row(connection, collection).record
            return queries.vectors_of(connection, queries.person_row(connection, row, person), row.dimension)

    def delete_face(self, collection: str, person: str, face: str) -> None:
        """Delete a face."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection).record
            found = queries.face_row(connection, queries.person_row(connection, row, person), face)
            connection.execute("DELETE FROM faces WHERE key = ?", (found.key,))

    def move_face(self, collection: str, person: str, face: str, to: str) -> Face:
        """Return a face after it was given to another person of the collection."""
        with self._database.write() as connection:
            row = queries.collection_row(connection, collection).record
            first, second = (queries.person_row(connection, row, id) for id in (person, to))
            found = queries.face_row(connection, first, face)
            if first.key != second.key:
                mutations.require_room(connection, self._limits, faces_of_person=second.faces + 1)
            connection.execute("UPDATE faces SET person = ? WHERE key = ?", (second.key, found.key))
            return queries.face_row(connection, second, face)

    def version(self) -> int:
        """Return a number that differs after each change of the store, also one by this store."""
        return self._database.version()

    def last_change(self) -> int:
        """Return the number of the latest change of a face; 0 if there was none."""
        with self._database.read() as connection:
            return self._first_number() + queries.numbers_of_changes(connection)[1]

    def changes(self, after: int) -> tuple[int, list[FaceChange]] | None:
        """Return the changes of faces after the change of this number; None if they are no longer known."""
        with self._database.read() as connection:
            base = self._first_number()
            first, last = queries.numbers_of_changes(connection)
            if not first <= after - base <= last:
                return None
            return base + last, queries.changes_after(connection, after - base)

    def _first_number(self) -> int:
        """Return what is added to the numbers of a file, so that those of an earlier file are unknown."""
        return self._database.replacements << _NUMBER_BITS

    def load(self, collection: int, after: int, limit: int) -> FaceVectors:
        """Return faces of a collection with greater keys than `after`, in the order of their keys."""
        with self._database.read() as connection:
            return queries.vectors_page(connection, collection, after, limit)

    def vectors_by_key(self, faces: Iterable[int]) -> FaceVectors:
        """Return the vectors of faces by key, without those that do not exist."""
        with self._database.read() as connection:
            return queries.vectors_of_keys(connection, faces)

    def records(self, collection: str) -> Iterator[PersonRecord]:
        """Return all people of a collection with their faces, in the order in which they were created."""
        return read_people(self._database, collection, self._snapshot_s)

    def import_records(
        self, collection: str, contract: str, records: Iterable[PersonRecord]
    ) -> tuple[int, int]:
        """Return the numbers of people and faces that were stored, of those exported, with their ids."""
        with self._database.write(undone_late=True) as connection:
            row = queries.collection_row(connection, collection)
            require_embedding(row.record, contract, row.record.dimension)
            return mutations.import_records(connection, row, records, self._limits)

    def expired(self, now: datetime, collection: str | None = None) -> list[Expired]:
        """Return the people and faces that have expired, by collection."""
        with self._database.read() as connection:
            return queries.expired(connection, now, collection)

    def expired_faces(self, collection: int, now: datetime) -> list[int]:
        """Return the keys of the faces that have expired, by themselves or with their person."""
        with self._database.read() as connection:
            return queries.expired_faces(connection, collection, now)

    def next_expiry(self) -> datetime | None:
        """Return when the next person or face expires; None if none does."""
        with self._database.read() as connection:
            return queries.next_expiry(connection)

    def purge(self, now: datetime, collection: str | None = None) -> list[Expired]:
        """Return the people and faces that have expired, by collection, after they were deleted."""
        with self._database.write() as connection:
            return mutations.purge(connection, now, collection)

    def erase(self, timeout_s: float) -> bool:
        """Return whether no byte of what was deleted is left in the files; if not, call it again."""
        return self._database.truncate_log(timeout_s)

    def backup(self, path: Path) -> None:
        """Write a consistent copy of the store to a new file, while the store is in use.

        Raises:
            BadParameter: there is a file of this name.
        """
        self._database.copy(path)

    def check(self) -> list[str]:
        """Return what is wrong with the file; nothing if it is intact. It reads the whole file."""
        try:
            with self._database.apart() as connection:
                return problems(connection)
        except GalleryUnavailable as error:
            return [error.detail]

    def close(self) -> None:
        """Close the store."""
        self._database.close()
