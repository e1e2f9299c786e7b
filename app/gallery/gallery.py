"""The gallery: a store with an index in memory beside it, which always agrees with the store.

Every search first takes over what changed in the store, also by other processes. Every deletion is removed
from the index and erased from the files of the store.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadParameter, GalleryUnavailable, OtherEmbedding
from app.gallery import clock
from app.gallery.index import IndexRetired, Match, VectorIndex
from app.gallery.indexes import Indexes
from app.gallery.records import (
    Collection,
    Expired,
    Face,
    FaceVectors,
    NewFace,
    Person,
    PersonDetails,
    PersonRecord,
)
from app.gallery.rules import GalleryInUse, refuse_person
from app.gallery.store import GalleryStore
from app.gallery.stored_index import StoredIndexes
from app.logs import AUDIT
from app.runtime.telemetry import NULL_TELEMETRY, GalleryAction, Telemetry
from app.runtime.timing import check_request
from app.vision.boxes import iou

log = logging.getLogger(__name__)
audit = logging.getLogger(AUDIT)

SWITCHED_OFF = "The gallery is switched off. Set FACE_GALLERY to the path of a file to use it."
"""What to do if a request or a command needs the gallery, and there is none."""

_ERASE_TIMEOUT_S = 5.0

_SAME_FACE_OVERLAP = 0.5
"""IoU from which two boxes in one image are of the same face."""


@dataclass(frozen=True)
class Sizes:
    """The size of a gallery: numbers of collections, people and faces."""

    collections: int
    people: int
    faces: int


class Gallery:
    """Collections of people, and the search in them. Its methods may be called from any thread.

    The store is opened by the first use, and again after it failed.

    Args:
        open_store: opens the store; raises GalleryUnavailable.
        new_index: makes the index of a collection in memory, for the dimension of its vectors; None if the
            store is a `SearchingStore` that searches.
        contracts: the embedding contracts of the loaded embedders, by the name of the embedder.
        now: the clock.
        telemetry: receives the size and the state of the gallery, and its changes.

    Attributes:
        contracts: the embedding contracts of the loaded embedders, by the name of the embedder.
        telemetry: receives events.
    """

    def __init__(
        self,
        open_store: Callable[[], GalleryStore],
        new_index: Callable[[int], VectorIndex] | None,
        contracts: Mapping[str, str],
        now: Callable[[], datetime] = clock.now,
        telemetry: Telemetry = NULL_TELEMETRY,
    ) -> None:
        self.contracts = contracts
        self.telemetry = telemetry
        self._open_store = open_store
        self._indexes = Indexes(new_index, self.is_usable) if new_index else StoredIndexes()
        self._now = now
        self._opened: GalleryStore | None = None
        self._is_used = False
        self._is_available: bool | None = None
        self._opening = threading.Lock()
        self._next_expiry: datetime | None = None
        self._must_erase = True  # an earlier process may have ended before it erased

    @property
    def store(self) -> GalleryStore:
        """The open store.

        Raises:
            GalleryUnavailable: it cannot be opened.
        """
        with self._opening:
            self._is_used = True
            if self._opened is None:
                self._opened = self._open_store()
            return self._opened

    @property
    def is_used(self) -> bool:
        """Whether anything has opened the store, or has tried to."""
        return self._is_used

    @property
    def is_available(self) -> bool | None:
        """Whether the store could be read by the latest `tick`; None before the first."""
        return self._is_available

    def sizes(self) -> Sizes:
        """Return the size of the gallery."""
        found = self.store.collections()
        return Sizes(len(found), sum(c.people for c in found), sum(c.faces for c in found))

    def is_usable(self, collection: Collection) -> bool:
        """Return whether the loaded embedder makes vectors of the collection's contract."""
        return self.contracts.get(collection.model) == collection.contract

    def usable(self, collection: str) -> Collection:
        """Return a collection whose vectors can be compared with those of the loaded embedder.

        Raises:
            UnknownId: there is no collection of this name.
            OtherEmbedding: its vectors cannot be compared.
        """
        found = self.store.collection(collection)
        if not self.is_usable(found):
            loaded = self.contracts.get(found.model)
            why = (
                f"which is not loaded. Add {found.model} to FACE_MODELS"
                if loaded is None
                else f"whose contract was {found.contract}; it is {loaded} now. Start the service with the "
                "earlier model files and default detector, or export the collection and enrol its people "
                "again"
            )
            raise OtherEmbedding(
                f"The vectors of the collection {collection} were made by the model {found.model}, {why}.",
                "collection",
            )
        return found

    def create_collection(self, collection: str, model: str, dimension: int) -> tuple[Collection, bool]:
        """Create a collection for the vectors of a loaded embedder, if there is none of this name.

        Returns:
            The collection, which may be an old one of another model; and whether it is new.
        """
        found, is_new = self.store.create_collection(collection, model, self.contracts[model], dimension)
        if is_new:
            self._record("create-collection", collection)
        return found, is_new

    def delete_collection(self, collection: str) -> bool:
        """Delete a collection with its people and faces.

        Returns:
            Whether no byte of it is left, see `GalleryStore.erase`.
        """
        with self._changing():
            self.store.delete_collection(collection)
            self._record("delete-collection", collection)
        return self._erased()

    def add_person(self, collection: str, details: PersonDetails) -> Person:
        """Store a person without faces; see `GalleryStore.add_person` for the errors.

        Returns:
            The person.
        """
        self.check_expiry(details.expires)
        with self._changing():
            person = self.store.add_person(collection, details)
            self._record("add-person", collection, person.id)
        return person

    def update_person(self, collection: str, person: str, changes: Mapping[str, Any]) -> Person:
        """Change fields of a person; see `GalleryStore.update_person` for the errors.

        Returns:
            The changed person.
        """
        self.check_expiry(changes.get("expires"))
        with self._changing():
            found = self.store.update_person(collection, person, changes)
            self._record("update-person", collection, person)
        self._erased()
        return found

    def delete_person(self, collection: str, person: str) -> bool:
        """Delete a person with all their faces.

        Returns:
            Whether no byte of them is left, see `GalleryStore.erase`.
        """
        with self._changing():
            self.store.delete_person(collection, person)
            self._record("delete-person", collection, person)
        return self._erased()

    def merge_people(self, collection: str, person: str, into: str) -> Person:
        """Give all faces of a person to another one, and delete the first.

        Returns:
            The person who got the faces.
        """
        with self._changing():
            merged = self.store.merge_people(collection, person, into)
            self._record("merge-people", collection, person, into=into)
        self._erased()
        return merged

    def add_face(
        self, collection: Collection, person: str, face: NewFace, near_duplicate: float | None
    ) -> tuple[Face, bool]:
        """Store a face of a person, unless the person has the same face of the same or nearly the same image.

        Args:
            collection: the collection.
            person: id of the person.
            face: the face.
            near_duplicate: similarity from which two images are copies; None if the model does not know it.

        Returns:
            The stored face, or the face that it duplicates; and whether it was stored.
        """
        self.check_expiry(face.expires)

        def duplicate(faces: Sequence[Face], known: FaceVectors) -> Face | None:
            for other in faces:
                if other.source == face.source and _overlap(other, face):
                    return other
            if len(faces) == 0 or near_duplicate is None:
                return None
            similarities = known.vectors @ face.vector
            best = int(similarities.argmax())
            return faces[best] if similarities[best] >= near_duplicate else None

        with self._changing():
            stored, is_new = self.store.add_face(
                collection.name, collection.contract, person, face, duplicate
            )
            if is_new:
                self._record("add-face", collection.name, person, stored.id)
        return stored, is_new

    def delete_face(self, collection: str, person: str, face: str) -> bool:
        """Delete a face.

        Returns:
            Whether no byte of it is left, see `GalleryStore.erase`.
        """
        with self._changing():
            self.store.delete_face(collection, person, face)
            self._record("delete-face", collection, person, face)
        return self._erased()

    def move_face(self, collection: str, person: str, face: str, to: str) -> Face:
        """Give a face to another person of the collection.

        Returns:
            The face.
        """
        with self._changing():
            moved = self.store.move_face(collection, person, face, to)
            self._record("move-face", collection, person, face, into=to)
        self._erased()
        return moved

    def import_records(self, collection: Collection, records: Iterable[PersonRecord]) -> tuple[int, int]:
        """Store exported people and faces, all or none; see `GalleryStore.import_records`.

        Returns:
            The numbers of people and faces that were stored.
        """
        with self._changing():
            people, faces = self.store.import_records(
                collection.name, collection.contract, _while_wanted(records)
            )
            self._record("import", collection.name, people=people, faces=faces)
        return people, faces

    def search(self, collection: Collection, probes: Float32[ndarray, "n d"], top: int) -> list[list[Match]]:
        """Return for each probe the most similar people by their best face, by descending similarity.

        What has expired is not found, whether or not it is deleted yet.

        Args:
            collection: the collection, whose vectors can be compared with the probes.
            probes: vectors of length 1.
            top: maximum number of people for each probe.

        Raises:
            GalleryUnavailable: the store cannot be read.
        """
        try:
            return self._search(collection, probes, top)
        except IndexRetired:  # by another thread, which found another file or could not follow a change
            return self._search(self.usable(collection.name), probes, top)

    def _search(self, collection: Collection, probes: ndarray, top: int) -> list[list[Match]]:
        self.refresh()
        hidden = self.store.expired_faces(collection.key, self._now()) if self._is_due else ()
        return self._indexes.search(self.store, collection, probes, top, hidden)

    def best_face(
        self, collection: Collection, person: str, probe: Float32[ndarray, " d"]
    ) -> tuple[Face, float] | None:
        """Return the face of a person that is most similar to a probe, and the similarity.

        Args:
            collection: the collection.
            person: id of the person.
            probe: a vector of length 1.

        Returns:
            The face and its cosine; None if the person has no face.

        Raises:
            UnknownId: the collection has no such person, or the person has expired.
            GalleryUnavailable: the store cannot be read.
        """
        self.refresh()
        known = self.store.vectors(collection.name, person)
        similarities = np.clip(known.vectors @ probe, -1, 1)
        if self._is_due:
            now = self._now()
            similarities[np.isin(known.faces, self.store.expired_faces(collection.key, now))] = -np.inf
            expires = self.store.person(collection.name, person).details.expires
            if expires is not None and expires <= now and not (similarities > -np.inf).any():
                refuse_person(collection, person)
        if not (similarities > -np.inf).any():
            return None
        best = int(similarities.argmax())
        face = self.store.faces_by_key([known.faces[best]]).get(known.faces[best])
        return None if face is None else (face, float(similarities[best]))

    def refresh(self) -> None:
        """Take over into the indexes what changed in the store.

        Raises:
            GalleryUnavailable: the store cannot be read.
        """
        store = self.store

        def note_state() -> None:
            self._next_expiry = store.next_expiry()
            size = self.sizes()
            self.telemetry.gallery_size(size.collections, size.people, size.faces)

        self._indexes.refresh(store, note_state)

    @property
    def _is_due(self) -> bool:
        """Whether anything that the latest refresh saw has expired."""
        next_expiry = self._next_expiry
        return next_expiry is not None and next_expiry <= self._now()

    def purge_due(self) -> None:
        """Delete what has expired. While another change takes long, this is left to the next call.

        Raises:
            GalleryUnavailable: the store cannot be read or written.
        """
        next_expiry = self.store.next_expiry()
        if next_expiry is not None and next_expiry <= self._now():
            with suppress(GalleryInUse):
                self.purge()

    def expired(self, collection: str | None = None) -> list[Expired]:
        """Return what has expired and is not deleted yet, by collection.

        Args:
            collection: name of a collection; all if None.
        """
        return self.store.expired(self._now(), collection)

    def purge(self, collection: str | None = None) -> list[Expired]:
        """Delete what has expired.

        Args:
            collection: name of a collection; all if None.

        Returns:
            What was deleted, by collection.
        """
        with self._changing():
            purged = self.store.purge(self._now(), collection)
            for one in purged:
                for person in one.people:
                    self._record("expire-person", one.collection, person)
                for face in one.faces:
                    self._record("expire-face", one.collection, face=face)
        if purged:
            self._erased()
        return purged

    def tick(self) -> None:
        """Take over changes, delete what has expired, and continue an erasure that had to wait."""
        is_available = False
        try:
            self.refresh()
            self.purge_due()
            if self._must_erase:
                self._erase()
            is_available = True
        finally:
            self._is_available = is_available
            self.telemetry.gallery_state(is_available, self._must_erase or self._is_due)

    def records(self, collection: str) -> Iterator[PersonRecord]:
        """Return all people of a collection with their faces, one by one; see `GalleryStore.records`."""
        self._record("export", collection)
        return self.store.records(collection)

    def check_expiry(self, expires: datetime | None) -> None:
        """Check that a time is in the future.

        Raises:
            BadParameter: it is not.
        """
        if expires is not None and expires <= self._now():
            raise BadParameter(f"The time {expires.isoformat()} has passed. Give a later one.", "expires")

    def close(self) -> None:
        """Overwrite the indexes and close the store."""
        self._indexes.forget()
        with self._opening:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Let the next refresh look for changes, and refresh the indexes that are loaded.

        The change in the context is made, whether or not the indexes can follow it. If they cannot, they are
        overwritten, and the next search loads them or reports the failure.
        """
        try:
            yield
        except BaseException as error:
            if not isinstance(error, GalleryInUse):  # a change that is undone or lost may leave bytes
                self._must_erase = True
            raise
        finally:
            self._indexes.expect_changes()
        if self._indexes.are_loaded:
            try:
                self.refresh()
            except Exception as error:  # the caller must not take a change that is made for one that failed
                self._indexes.forget()
                log.error("The index could not follow a change, and will be loaded again: %s", error)

    def _erased(self) -> bool:
        """Return whether no byte is left of what a change deleted. The change is made in any case."""
        try:
            return self._erase()
        except GalleryUnavailable:
            return False  # `tick` tries it again, and reports the failure

    def _erase(self) -> bool:
        self._must_erase = False  # before, because another thread may make a change meanwhile
        is_erased = False
        try:
            is_erased = self.store.erase(_ERASE_TIMEOUT_S)
        finally:
            self._must_erase = self._must_erase or not is_erased
        return is_erased

    def _record(
        self,
        action: GalleryAction,
        collection: str,
        person: str | None = None,
        face: str | None = None,
        **more: object,
    ) -> None:
        """Write a line to the audit log. It has ids, but neither names nor vectors."""
        self.telemetry.gallery_action(action)
        fields = {"action": action, "collection": collection, "person": person, "face": face, **more}
        known = {name: value for name, value in fields.items() if value is not None}
        audit.info("gallery: %s", " ".join(f"{k}={v}" for k, v in known.items()), extra={"audit": known})


def _while_wanted(records: Iterable[PersonRecord]) -> Iterator[PersonRecord]:
    """Yield the records as long as the request of the thread is not over."""
    for record in records:
        check_request()
        yield record


def _overlap(one: Face, other: NewFace) -> bool:
    """Return whether two faces of an image are the same one."""
    first, second = (np.array([face.box], np.float32) for face in (one, other))
    return bool(iou(first, second)[0, 0] >= _SAME_FACE_OVERLAP)
