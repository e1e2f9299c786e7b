"""The protocol of the store: where collections, people and faces are kept. The store is the truth."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from app.gallery.records import (
    Collection,
    Expired,
    Face,
    FaceChange,
    FaceVectors,
    NewFace,
    Person,
    PersonDetails,
    PersonRecord,
)


class GalleryStore(Protocol):
    """Keeps collections, people and faces. Its methods may be called from any thread.

    A method that changes the store does it completely or not at all, and returns when the change is safe
    from a crash of the process and of the machine. If the request of the thread (`app.runtime.timing`) is
    over before the change begins, it changes nothing and raises the error of the request. Every method may
    raise GalleryUnavailable. Methods with the parameter `collection` raise UnknownId if there is no
    collection of this name, those with `person` or `face` also if the collection has none with this id.

    Attributes:
        erases: whether `erase` removes the bytes. If not, they are left to the operator of the database.
    """

    erases: bool

    def collections(self) -> list[Collection]:
        """Return all collections, by name."""

    def collection(self, collection: str) -> Collection:
        """Return a collection."""

    def create_collection(
        self, collection: str, model: str, contract: str, dimension: int
    ) -> tuple[Collection, bool]:
        """Create a collection if there is none of this name.

        Returns:
            The collection, which may be an old one with another model, and whether it is new.

        Raises:
            GalleryLimit: there are too many collections.
        """

    def delete_collection(self, collection: str) -> None:
        """Delete a collection with its people and faces."""

    def add_person(self, collection: str, details: PersonDetails) -> Person:
        """Store a person without faces.

        Raises:
            DuplicateExternalId: another person of the collection has this external id.
            GalleryLimit: there are too many people.
        """

    def person(self, collection: str, person: str) -> Person:
        """Return a person."""

    def people(
        self,
        collection: str,
        limit: int,
        after: int = 0,
        name: str | None = None,
        external_id: str | None = None,
    ) -> list[Person]:
        """Return people of a collection, in the order in which they were created.

        Args:
            collection: name of the collection.
            limit: maximum number of people.
            after: return people with a greater key.
            name: return people whose name contains this text; case is ignored.
            external_id: return the person with this external id.
        """

    def people_by_key(self, keys: Iterable[int]) -> dict[int, Person]:
        """Return people by key, without those that do not exist."""

    def update_person(self, collection: str, person: str, changes: Mapping[str, Any]) -> Person:
        """Change fields of `PersonDetails` of a person.

        Args:
            collection: name of the collection.
            person: id of the person.
            changes: the new values by the name of the field.

        Raises:
            DuplicateExternalId: another person of the collection has this external id.
        """

    def delete_person(self, collection: str, person: str) -> None:
        """Delete a person with all their faces."""

    def merge_people(self, collection: str, person: str, into: str) -> Person:
        """Give all faces of a person to another one, and delete the first.

        Raises:
            GalleryLimit: the other person would have too many faces.
        """

    def add_face(
        self,
        collection: str,
        contract: str,
        person: str,
        face: NewFace,
        duplicate: Callable[[Sequence[Face], FaceVectors], Face | None],
    ) -> tuple[Face, bool]:
        """Store a face of a person, unless the person has a duplicate of it.

        Args:
            collection: name of the collection.
            contract: the embedding contract of the vector.
            person: id of the person.
            face: the face.
            duplicate: called with the person's faces and their vectors, in the same order, within the
                transaction; returns the duplicate of the face, or None.

        Returns:
            The stored face, or its duplicate; and whether it was stored.

        Raises:
            OtherEmbedding: the collection has another contract.
            GalleryLimit: there are too many faces, or the person has too many.
        """

    def faces(self, collection: str, person: str) -> list[Face]:
        """Return the faces of a person, in the order in which they were stored."""

    def faces_by_key(self, keys: Iterable[int]) -> dict[int, Face]:
        """Return faces by key, without those that do not exist."""

    def vectors(self, collection: str, person: str) -> FaceVectors:
        """Return the vectors of a person's faces."""

    def delete_face(self, collection: str, person: str, face: str) -> None:
        """Delete a face."""

    def move_face(self, collection: str, person: str, face: str, to: str) -> Face:
        """Give a face to another person of the collection.

        Raises:
            GalleryLimit: the other person has too many faces.
        """

    def version(self) -> int:
        """Return a number that differs whenever another connection has changed the store. It is fast."""

    def last_change(self) -> int:
        """Return the number of the latest change of a face; 0 if there was none."""

    def changes(self, after: int) -> tuple[int, list[FaceChange]] | None:
        """Return the changes of faces after the change of this number.

        Returns:
            The number of the latest change, and the changes in their order; None if changes in between are
            no longer known, so that the index must be loaded again.
        """

    def load(self, collection: int, after: int, limit: int) -> FaceVectors:
        """Return faces of a collection with greater keys than `after`, in the order of their keys.

        Args:
            collection: key of the collection; an unknown one has no faces.
            after: a key.
            limit: maximum number of faces.
        """

    def vectors_by_key(self, faces: Iterable[int]) -> FaceVectors:
        """Return the vectors of faces by key, without those that do not exist."""

    def records(self, collection: str) -> Iterator[PersonRecord]:
        """Return all people of a collection with their faces, in the order in which they were created.

        They are those of one moment, whatever changes while they are read. Close the iterator, or read it to
        its end: until then, the bytes of deletions cannot be erased. So this ends after some time, too. Then
        the people that are not read yet are read as they are, and a person that is deleted meanwhile is left
        out.

        Raises:
            GalleryUnavailable: after the last person, because reading took so long and faces were given to
                other people meanwhile, so that one may be read twice or not at all, or because the
                collection was deleted.
        """

    def import_records(
        self, collection: str, contract: str, records: Iterable[PersonRecord]
    ) -> tuple[int, int]:
        """Store exported people and faces with their ids, all or none. The keys of the records are ignored.

        A person whose id exists gets the faces that are missing, and keeps the present details. A face whose
        id exists is left out. If the request of the thread is over before the end, nothing is stored.

        Returns:
            The numbers of people and faces that were stored.

        Raises:
            OtherEmbedding: the collection has another contract.
            DuplicateExternalId: another person of the collection has the external id of a record.
            GalleryLimit: there would be too many people or faces.
        """

    def expired(self, now: datetime, collection: str | None = None) -> list[Expired]:
        """Return the people and faces that have expired, by collection.

        Args:
            now: the time.
            collection: name of a collection; all if None.
        """

    def expired_faces(self, collection: int, now: datetime) -> list[int]:
        """Return the keys of the faces that have expired, by themselves or with their person.

        Args:
            collection: key of the collection; an unknown one has no faces.
            now: the time.
        """

    def next_expiry(self) -> datetime | None:
        """Return when the next person or face expires; None if none does."""

    def purge(self, now: datetime, collection: str | None = None) -> list[Expired]:
        """Delete the people and faces that have expired, and return them by collection.

        Args:
            now: the time.
            collection: name of a collection; all if None.
        """

    def erase(self, timeout_s: float) -> bool:
        """Remove the bytes of everything that was deleted from all files of the store, if it `erases`.

        Args:
            timeout_s: maximum seconds to wait for readers, including those of other processes.

        Returns:
            Whether nothing is left to do for this method. If not, a later call continues.
        """

    def backup(self, path: Path) -> None:
        """Write a consistent copy of the store to a new file, while the store is in use."""

    def close(self) -> None:
        """Close the store."""
