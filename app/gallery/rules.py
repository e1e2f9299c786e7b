"""The rules that every store of the gallery keeps: limits, ids, names, errors, times."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import NoReturn
from uuid import uuid4

from app.errors import (
    BadParameter,
    DuplicateExternalId,
    GalleryLimit,
    GalleryUnavailable,
    OtherEmbedding,
    UnknownId,
)
from app.gallery import clock
from app.gallery.records import Collection, Limits, Person, PersonDetails, PersonRecord

MAX_KEY = 2**63 - 1
"""The greatest key of a store."""
KEPT_CHANGES = 100_000
"""Changes of faces that a store keeps for the indexes of other processes."""
SNAPSHOT_S = 120.0
"""Seconds for which an export reads the state of one moment, so that no byte can be erased meanwhile."""

DISTURBED = (
    "Reading the collection took too long, and people were merged, faces were moved, or the collection was "
    "deleted meanwhile. Export it again, over a faster connection or on the machine of the service."
)
"""The message for a reader that may have read a face twice or not at all."""
DAMAGED = "The gallery is damaged. Restore a backup."

_SETTINGS = {"people": "FACE_MAX_GALLERY_PEOPLE", "faces": "FACE_MAX_GALLERY_FACES"}
"""Settings of the service that raise a limit, by its name."""
_ID = re.compile("[0-9a-f]{32}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class GalleryInUse(GalleryUnavailable):
    """Another change of the gallery takes too long, so that the store did nothing."""


def first_at_once(records: Iterator[PersonRecord]) -> Iterator[PersonRecord]:
    """Return the records. The first one is read at once: an error is raised before anything is returned."""
    return chain([record for record in [next(records, None)] if record is not None], records)


def new_person(details: PersonDetails) -> Person:
    """Return a person without faces, with a random id, who is not stored yet."""
    return Person(key=0, id=uuid4().hex, details=details, faces=0, created=clock.now())


def require_at_most(limits: Limits, **numbers: int) -> None:
    """Check numbers against the limits of the same names.

    Raises:
        GalleryLimit: one is greater than its limit.
    """
    for name, number in numbers.items():
        if number > (limit := getattr(limits, name)):
            setting = _SETTINGS.get(name)
            remedy = f"Delete some, or raise {setting}." if setting else "Delete some."
            raise GalleryLimit(f"The gallery's limit of {name.replace('_', ' ')} is {limit}. {remedy}")


def require_embedding(collection: Collection, contract: str, dimension: int) -> None:
    """Check that vectors can be compared with those of a collection.

    Raises:
        OtherEmbedding: they cannot.
    """
    if (contract, dimension) != (collection.contract, collection.dimension):
        raise OtherEmbedding(
            f"The collection {collection.name!r} has vectors of {collection.model} with "
            f"{collection.dimension} numbers and the contract {collection.contract}; these have {dimension} "
            f"numbers and the contract {contract}. Use the model of the collection, or enrol the people in a "
            "new collection.",
            "collection",
        )


def require_two(person: Person, into: Person) -> None:
    """Check that two people to be merged are not the same.

    Raises:
        BadParameter: they are.
    """
    if person.key == into.key:
        raise BadParameter("A person cannot be merged with themselves. Name another person.", "into")


def refuse_external_id(collection: Collection, external_id: str | None) -> NoReturn:
    """Say that another person of the collection has an external id.

    Raises:
        DuplicateExternalId: always.
    """
    raise DuplicateExternalId(
        f"Another person of the collection {collection.name!r} has the external id {external_id!r}. Choose "
        "another one, or change that person.",
        "external_id",
    )


def refuse_collection(name: str) -> NoReturn:
    """Say that there is no such collection.

    Raises:
        UnknownId: always.
    """
    raise UnknownId(f"There is no collection {name!r}.", "collection")


def refuse_person(collection: Collection, person: str) -> NoReturn:
    """Say that a collection has no such person.

    Raises:
        UnknownId: always.
    """
    raise UnknownId(f"The collection {collection.name!r} has no person {person!r}.", "person")


def refuse_face(person: Person, face: str) -> NoReturn:
    """Say that a person has no such face.

    Raises:
        UnknownId: always.
    """
    raise UnknownId(f"The person {person.id!r} has no face {face!r}.", "face")


def id_bytes(id: str) -> bytes:
    """Return an id as stored; no bytes, which no id has, if it is malformed."""
    return bytes.fromhex(id) if _ID.fullmatch(id) else b""


def checked_id(id: str) -> bytes:
    """Return an id as stored.

    Raises:
        BadParameter: it is malformed.
    """
    if not (found := id_bytes(id)):
        raise BadParameter(
            f"The id {id!r} is malformed. An id has 32 hexadecimal digits in lower case.", "id"
        )
    return found


def known_keys(keys: Iterable[int]) -> list[int]:
    """Return those of the keys that a store can have."""
    return [int(key) for key in keys if -MAX_KEY <= key <= MAX_KEY]


def search_key(name: str) -> bytes:
    """Return a name in the normal form NFC, without the differences of case that a search ignores."""
    return unicodedata.normalize("NFC", name).casefold().replace("\0", "").encode("utf-8", "surrogatepass")


def name_contains(person: Person, text: str | None) -> bool:
    """Return whether the name of a person contains a text; case is ignored."""
    return search_key(text or "") in search_key(person.details.name or "")


def details_json(details: PersonDetails) -> str:
    """Return name, external id and metadata of a person as JSON in ASCII."""
    fields = {name: getattr(details, name) for name in ("name", "external_id", "metadata")}
    known = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(known, separators=(",", ":"))


def details_of(content: str | bytes, expires: int | None) -> PersonDetails:
    """Return the details of a person from `details_json` and the time of expiry.

    Raises:
        GalleryUnavailable: the content is damaged.
    """
    try:
        return PersonDetails(**json.loads(content), expires=None if expires is None else from_micros(expires))
    except (ValueError, TypeError) as error:
        raise GalleryUnavailable(DAMAGED) from error


def to_micros(time: datetime) -> int:
    """Return a time as microseconds since 1970 (UTC)."""
    return (time - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the time that `to_micros` was given, in UTC.

    Raises:
        GalleryUnavailable: the number is damaged.
    """
    try:
        return _EPOCH + micros * _MICROSECOND
    except OverflowError as error:
        raise GalleryUnavailable(DAMAGED) from error


def optional_micros(time: datetime | None) -> int | None:
    """Return a time as microseconds since 1970 (UTC); None if there is none."""
    return None if time is None else to_micros(time)
