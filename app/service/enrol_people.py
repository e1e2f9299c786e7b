"""The people of an enrolment, and those of them whom the collection has already."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from app.errors import BadParameter, DuplicateExternalId, FacetError
from app.gallery.gallery import Gallery
from app.gallery.records import Person, PersonDetails
from app.service.enrol_list import PersonImage
from app.service.gallery_requests import MAX_PAGE, FacesQuery


@dataclass
class EnrolPerson:
    """A person of the run.

    Attributes:
        name: the name.
        external_id: the external id.
        record: the person in the collection; None if the collection does not have them yet.
        sources: the ids of the stored faces by the SHA-256 of their image.
        error: why nothing can be enrolled for the person; None if it can.
    """

    name: str | None
    external_id: str | None
    record: Person | None = None
    sources: dict[bytes, str] = field(default_factory=dict)
    error: FacetError | None = None

    def details(self, query: FacesQuery) -> PersonDetails:
        """Return the details of the new person."""
        return PersonDetails(self.name, self.external_id, expires=query.expires)


class EnrolPeople:
    """The people of a run, and those of them whom the collection has already.

    An image with an external id belongs to the person with this external id, another one to the person with
    exactly this name.

    Args:
        gallery: the gallery.
        collection: name of the collection.
        images: the images of the run.
    """

    def __init__(self, gallery: Gallery, collection: str, images: Iterable[PersonImage]) -> None:
        self._gallery = gallery
        self._collection = collection
        self._people: dict[tuple[str | None, str | None], EnrolPerson] = {}
        self._present: dict[tuple[str | None, str | None], list[Person]] = {
            _key(image.name, image.external_id): [] for image in images
        }
        self._after = 0
        self._later: dict[tuple[str | None, str | None], Person] = {}  # the first one added since
        for key, person in self._next():
            if key in self._present:
                self._present[key].append(person)

    def add(self, person: EnrolPerson, query: FacesQuery) -> bool:
        """Set the record of a person, who is added to the collection unless another process did it meanwhile.

        If two processes add a person at the same time, the first stays.

        Args:
            person: a person without a record.
            query: the parameters of the enrolment.

        Returns:
            Whether the person is new.
        """
        key = _key(person.name, person.external_id)
        added = None
        self._read_later()
        if key not in self._later:
            with suppress(DuplicateExternalId):
                added = self._gallery.add_person(self._collection, person.details(query))
            self._read_later()
        first = self._later[key]
        if added is not None and added.id != first.id:
            self._gallery.delete_person(self._collection, added.id)
        person.record = first
        return added is not None and added.id == first.id

    def withdraw(self, person: EnrolPerson) -> None:
        """Delete a person who was added, but whose first face was not stored, and unset their record."""
        assert person.record is not None
        self._later.pop(_key(person.name, person.external_id), None)
        with suppress(FacetError):
            if not self._gallery.store.faces(self._collection, person.record.id):  # of another process
                self._gallery.delete_person(self._collection, person.record.id)
        person.record = None

    def _read_later(self) -> None:
        for key, person in self._next():
            self._later.setdefault(key, person)

    def _next(self) -> Iterator[tuple[tuple[str | None, str | None], Person]]:
        """Yield the people who were added since the last call, with each key that an image may have."""
        while page := self._gallery.store.people(self._collection, MAX_PAGE, self._after):
            self._after = page[-1].key
            for person in page:
                name, external_id = person.details.name, person.details.external_id
                for key in {_key(name, None), _key(name, external_id)}:
                    yield key, person

    def of(self, image: PersonImage) -> EnrolPerson:
        """Return the person of an image."""
        key = _key(image.name, image.external_id)
        if key not in self._people:
            self._people[key] = self._found(image, self._present.pop(key))
        return self._people[key]

    def _found(self, image: PersonImage, present: Sequence[Person]) -> EnrolPerson:
        person = EnrolPerson(image.name, image.external_id)
        if len(present) > 1:
            person.error = BadParameter(
                f"The collection has {len(present)} people with the name {image.name!r}, so that it is not "
                "clear whose face this is. Name the external_id of each in a file for the option --names.",
                "name",
            )
        elif present:
            person.record = present[0]
            faces = self._gallery.store.faces(self._collection, present[0].id)
            person.sources = {face.source: face.id for face in faces}
        return person


def _key(name: str | None, external_id: str | None) -> tuple[str | None, str | None]:
    if external_id is not None:
        return None, external_id
    return name and unicodedata.normalize("NFC", name), None
