"""Enrols many images: the people and the faces that a collection does not have yet are added."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from app.errors import BadParameter, FacetError, GalleryUnavailable, OtherEmbedding, UnknownId
from app.gallery.records import Collection, NewFace
from app.service.console import Progress, report
from app.service.enrol_list import PersonImage
from app.service.enrol_people import EnrolPeople, EnrolPerson
from app.service.enrol_results import EnrolledImage, EnrolledPerson, EnrolSummary, SimilarPerson
from app.service.file_reading import read
from app.service.gallery_operations import GalleryOperations
from app.service.gallery_requests import FacesQuery, IdentifyQuery
from app.service.limits import Limits
from app.service.local_files import line, problem_of
from app.service.run_summary import Tally
from app.service.upload import Upload

_AHEAD = 2
"""Images for each thread that are read before they are stored."""

_FaceFuture = Future[NewFace | str]


class FaceSource(Protocol):
    """Where the faces of images come from."""

    def face(self, image: PersonImage, known: Mapping[bytes, str]) -> NewFace | str:
        """Return the face of an image; the id of the stored face if the person has one of this image.

        Args:
            image: the image.
            known: the ids of the person's stored faces by the SHA-256 of their image.

        Raises:
            FacetError: the image cannot be enrolled.
        """


class FacesOfFiles:
    """Finds faces in image files.

    Args:
        operations: the operations on the gallery.
        collection: the collection, whose vectors can be compared with those of the loaded embedder.
        query: which face of each image is enrolled.
        limits: limits on an image.
    """

    def __init__(
        self, operations: GalleryOperations, collection: Collection, query: FacesQuery, limits: Limits
    ) -> None:
        self._operations = operations
        self._collection = collection
        self._query = query
        self._limits = limits

    def face(self, image: PersonImage, known: Mapping[bytes, str]) -> NewFace | str:
        """Return the face of an image; see `FaceSource`."""
        data = read(image.path, self._limits.image_bytes, "file")
        if present := known.get(hashlib.sha256(data).digest()):
            return present
        return self._operations.read_face(Upload(data), self._collection, self._query)


class EnrolRun:
    """Enrols images. An image that fails is reported and does not stop the others.

    Threads read the images and run the nets. One thread stores the faces in the order of the images, so that
    the result does not depend on the number of threads, and an interruption leaves nothing half.

    Args:
        operations: the operations on the gallery.
        collection: the collection, whose vectors can be compared with those of the faces.
        query: parameters of the enrolment. `expires` is that of new people, too.
        threads: number of threads that read images.
        source: where the faces come from.
    """

    def __init__(
        self,
        operations: GalleryOperations,
        collection: Collection,
        query: FacesQuery,
        threads: int,
        source: FaceSource,
    ) -> None:
        self._operations = operations
        self._gallery = operations.gallery
        self._collection = collection
        self._query = query
        self._threads = threads
        self._source = source
        self._faces = collection.faces
        self._failure: FacetError | None = None

    def process(self, images: Sequence[PersonImage], left_out: Tally) -> bool:
        """Enrol images, print a line of JSON for each, and report a summary to standard error.

        Args:
            images: the images.
            left_out: the files that are not enrolled, for the summary.

        Returns:
            True if no image failed.

        Raises:
            KeyboardInterrupt: the user stopped the run. The summary was reported.
            GalleryUnavailable: the collection cannot be read.
        """
        people = EnrolPeople(self._gallery, self._collection.name, images)
        summary = EnrolSummary(left_out)
        readers, writer = ThreadPoolExecutor(self._threads), ThreadPoolExecutor(1)
        try:
            with Progress(len(images), "image") as progress:
                for image, person, face in self._reading(readers, images, people):
                    progress.emit(writer.submit(self._finish, people, image, person, face, summary).result())
                    if self._failure is not None:
                        break
        except KeyboardInterrupt:
            writer.shutdown()  # waits until the image is stored
            report(f"Interrupted after {summary.read + summary.failed.total} of {len(images)} images.")
            _report(summary)
            raise
        finally:
            writer.shutdown()
            readers.shutdown(cancel_futures=True)
        _report(summary)
        if self._failure is not None:
            report(f"The run has stopped, because the other images would fail too: {self._failure.detail}")
        return summary.failed.total == 0

    def _reading(
        self, readers: ThreadPoolExecutor, images: Iterable[PersonImage], people: EnrolPeople
    ) -> Iterator[tuple[PersonImage, EnrolPerson, _FaceFuture]]:
        """Yield the images in their order, while threads read the next ones."""
        pending: deque[tuple[PersonImage, EnrolPerson, _FaceFuture]] = deque()
        for image in images:
            person = people.of(image)
            pending.append((image, person, readers.submit(self._read, image, person)))
            if len(pending) > _AHEAD * self._threads:
                yield pending.popleft()
        yield from pending

    def _read(self, image: PersonImage, person: EnrolPerson) -> NewFace | str:
        """Return the face of an image; the id of the stored face if the person has one of this image."""
        if error := image.error or person.error:
            raise error
        return self._source.face(image, person.sources)

    def _finish(
        self,
        people: EnrolPeople,
        image: PersonImage,
        person: EnrolPerson,
        face: _FaceFuture,
        summary: EnrolSummary,
    ) -> str:
        """Store the face of an image and count the image.

        Returns:
            The line of the image.
        """
        like = stored = duplicate = problem = None
        try:
            found = face.result()
            if isinstance(found, str):
                duplicate = found
                summary.present += 1
            else:
                other = self._also_like(person, found, summary)
                stored, duplicate = self._store(people, person, found, summary)
                like = other if stored else None
            summary.read += 1
        except Exception as error:  # decoders and runtimes raise many kinds; the line reports each
            problem = problem_of(error, self._operations.limits)
            summary.failed.add(problem.kind, image.path)
            if isinstance(error, FacetError) and _ends_run(error):
                self._failure = error
        enrolled = _enrolled(person)
        if like is not None:
            summary.add_similar(enrolled, like)
        answer = EnrolledImage(person=enrolled, face=stored, duplicate_of=duplicate, also_like=like)
        return line({"file": image.path}, answer, problem)

    def _store(
        self, people: EnrolPeople, person: EnrolPerson, face: NewFace, summary: EnrolSummary
    ) -> tuple[str | None, str | None]:
        """Store a face, and the person if it is their first.

        Returns:
            The id of the stored face, and None; or None, and the id of the face that it duplicates.
        """
        new = person.record is None and people.add(person, self._query)
        assert person.record is not None
        try:
            stored, is_new = self._operations.store_face(self._collection, person.record.id, face)
        except BaseException:
            if new:
                people.withdraw(person)
            raise
        summary.people += new
        if not is_new:
            summary.duplicates += 1
            return None, stored.id
        self._faces += 1
        summary.faces += 1
        return stored.id, None

    def _also_like(self, person: EnrolPerson, face: NewFace, summary: EnrolSummary) -> SimilarPerson | None:
        """Return another person of the collection as whom a search would identify a face; None if nobody."""
        if summary.unchecked is not None or self._faces == 0:
            return None
        try:
            threshold, _ = self._operations.threshold(self._collection, self._faces, IdentifyQuery())
        except BadParameter as error:
            summary.unchecked = error.detail
            return None
        own = None if person.record is None else person.record.key
        (found,) = self._gallery.search(self._collection, face.vector[None], 2)
        others = [match for match in found if match.person != own and match.similarity >= threshold]
        if not others:
            return None
        other = self._gallery.store.people_by_key([others[0].person]).get(others[0].person)
        if other is None:
            return None
        return SimilarPerson(id=other.id, name=other.details.name, similarity=others[0].similarity)


def _ends_run(error: FacetError) -> bool:
    """Return whether all other images would fail too."""
    if isinstance(error, UnknownId):
        return error.field == "collection"
    return isinstance(error, GalleryUnavailable | OtherEmbedding)


def _report(summary: EnrolSummary) -> None:
    for text in summary.lines():
        report(text)


def _enrolled(person: EnrolPerson) -> EnrolledPerson:
    if person.record is None:
        return EnrolledPerson(id=None, name=person.name, external_id=person.external_id)
    details = person.record.details
    return EnrolledPerson(id=person.record.id, name=details.name, external_id=details.external_id)
