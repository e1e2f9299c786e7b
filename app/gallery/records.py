"""The records of the gallery: collection -> person -> face."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jaxtyping import Float32
from numpy import ndarray


@dataclass(frozen=True)
class Collection:
    """A collection of people, whose vectors have one embedding contract.

    Attributes:
        key: the number of the collection in the store.
        name: the name, unique in the store.
        model: name of the embedder that made the vectors.
        contract: id of the embedding contract, see `app.gallery.contract`.
        dimension: length of a vector.
        people: number of people.
        faces: number of faces.
        created: when the collection was created (UTC).
    """

    key: int
    name: str
    model: str
    contract: str
    dimension: int
    people: int
    faces: int
    created: datetime


@dataclass(frozen=True)
class PersonDetails:
    """What a caller says about a person.

    Attributes:
        name: the name; need not be unique.
        external_id: the caller's own id, unique in the collection.
        metadata: any JSON object.
        expires: when the person and all their faces are deleted (UTC); None for never.
    """

    name: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    expires: datetime | None = None


@dataclass(frozen=True)
class Person:
    """A person of a collection.

    Attributes:
        key: the number of the person in the store; later people have greater numbers.
        id: the id, unique in the collection.
        details: what the caller says about the person.
        faces: number of faces.
        created: when the person was created (UTC).
    """

    key: int
    id: str
    details: PersonDetails
    faces: int
    created: datetime


@dataclass(frozen=True)
class NewFace:
    """A face to store.

    Attributes:
        vector: the embedding, of length 1.
        box: left, top, right and bottom edge in pixels of the image.
        score: score of the detector, 0 to 1.
        quality: quality for recognition, 0 to 1; None if it was not measured.
        source: SHA-256 of the encoded image.
        expires: when the face is deleted (UTC); None for never.
    """

    vector: Float32[ndarray, " d"]
    box: tuple[float, float, float, float]
    score: float
    quality: float | None
    source: bytes
    expires: datetime | None = None


@dataclass(frozen=True)
class Face:
    """A stored face, without its vector.

    Attributes:
        key: the number of the face in the store; later faces have greater numbers.
        id: the id, unique in the collection.
        person: id of the person.
        box: left, top, right and bottom edge in pixels of the image.
        score: score of the detector, 0 to 1.
        quality: quality for recognition, 0 to 1; None if it was not measured.
        source: SHA-256 of the encoded image.
        created: when the face was stored (UTC).
        expires: when the face is deleted (UTC); None for never.
    """

    key: int
    id: str
    person: str
    box: tuple[float, float, float, float]
    score: float
    quality: float | None
    source: bytes
    created: datetime
    expires: datetime | None


@dataclass(frozen=True)
class FaceVectors:
    """The vectors of n faces, with the numbers of the faces and of their people.

    Attributes:
        faces: the keys of the faces, ascending.
        people: the key of the person of each face.
        vectors: the embeddings (n, d).
    """

    faces: Sequence[int]
    people: Sequence[int]
    vectors: Float32[ndarray, "n d"]


@dataclass(frozen=True)
class FaceChange:
    """A change of a face, for the index.

    Attributes:
        collection: key of the collection.
        face: key of the face.
        person: key of its person now; None if the face was deleted.
    """

    collection: int
    face: int
    person: int | None


@dataclass(frozen=True)
class PersonRecord:
    """A person with all faces and their vectors, as exported and imported.

    Attributes:
        person: the person.
        faces: the faces.
        vectors: the embedding of each face (n, d).
    """

    person: Person
    faces: Sequence[Face]
    vectors: Float32[ndarray, "n d"]


@dataclass(frozen=True)
class Expired:
    """What has expired.

    Attributes:
        collection: name of the collection.
        people: ids of the people.
        faces: ids of the faces of other people.
    """

    collection: str
    people: Sequence[str]
    faces: Sequence[str]


@dataclass(frozen=True)
class Limits:
    """Limits of a store.

    Attributes:
        collections: maximum number of collections.
        people: maximum number of people in all collections.
        faces: maximum number of faces in all collections.
        faces_per_person: maximum number of faces of one person.
    """

    collections: int = 1000
    people: int = 1_000_000
    faces: int = 1_000_000
    faces_per_person: int = 1000
