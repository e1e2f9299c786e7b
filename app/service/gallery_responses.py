"""Responses of the routes of the gallery."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.gallery import records
from app.service.problems import Problem
from app.service.responses import Box, Face, Size, Timing, VerdictResponse


class _Response(BaseModel):
    model_config = ConfigDict(frozen=True)


_DETECTOR = Field(description="Name of the detector that found the faces.")
_TIMING = Field(
    description="Processing time in milliseconds: `total`, the time in each stage, and the waiting time in "
    "`queue`."
)


class CollectionInfo(_Response):
    """A collection of people."""

    name: str = Field(description="Name of the collection.", examples=["family"])
    model: str = Field(description="Name of the embedder of the collection.")
    contract: str = Field(
        description="Id of the embedding contract: collections of one contract have comparable vectors."
    )
    usable: bool = Field(
        description="Whether the loaded models make vectors of this contract. If not, the collection can be "
        "listed, exported and deleted, but neither searched nor extended."
    )
    people: int = Field(description="Number of people.")
    faces: int = Field(description="Number of faces.")
    created: datetime = Field(description="When the collection was created.")

    @classmethod
    def of(cls, collection: records.Collection, usable: bool) -> Self:
        """Return the response object of a collection."""
        return cls(
            name=collection.name,
            model=collection.model,
            contract=collection.contract,
            usable=usable,
            people=collection.people,
            faces=collection.faces,
            created=collection.created,
        )


class CollectionsResponse(_Response):
    """All collections."""

    collections: list[CollectionInfo] = Field(description="The collections, by name.")


class PersonInfo(_Response):
    """A person of a collection."""

    id: str = Field(description="Id of the person, unique in the collection.")
    name: str | None = Field(None, description="Name of the person.")
    external_id: str | None = Field(None, description="Id of the person in your own system.")
    metadata: dict[str, Any] | None = Field(None, description="The metadata that you stored.")
    faces: int = Field(description="Number of faces.")
    created: datetime = Field(description="When the person was created.")
    expires: datetime | None = Field(
        None, description="When the person and their faces are deleted automatically; null for never."
    )

    @classmethod
    def of(cls, person: records.Person) -> Self:
        """Return the response object of a person."""
        details = person.details
        return cls(
            id=person.id,
            name=details.name,
            external_id=details.external_id,
            metadata=None if details.metadata is None else dict(details.metadata),
            faces=person.faces,
            created=person.created,
            expires=details.expires,
        )


class PeopleResponse(_Response):
    """A part of the people of a collection."""

    people: list[PersonInfo] = Field(description="The people, in the order in which they were created.")
    cursor: str | None = Field(
        description="Value of the parameter `cursor` for the next people; null after the last ones."
    )


class FaceInfo(_Response):
    """A stored face. The image is not stored."""

    id: str = Field(description="Id of the face, unique in the collection.")
    person: str = Field(description="Id of the person.")
    box: Box = Field(description="Box of the face in its image.")
    score: float = Field(description="Probability that this is a face, 0 to 1.")
    quality: float | None = Field(
        None, description="Quality for recognition, 0 to 1. Null if `fused` is not loaded."
    )
    source_sha256: str = Field(description="SHA-256 of the encoded image.")
    created: datetime = Field(description="When the face was stored.")
    expires: datetime | None = Field(
        None, description="When the face is deleted automatically; null for never."
    )

    @classmethod
    def of(cls, face: records.Face) -> Self:
        """Return the response object of a face."""
        x1, y1, x2, y2 = (round(value, 3) for value in face.box)
        return cls(
            id=face.id,
            person=face.person,
            box=Box(x1=x1, y1=y1, x2=x2, y2=y2),
            score=face.score,
            quality=None if face.quality is None else round(face.quality, 3),
            source_sha256=face.source.hex(),
            created=face.created,
            expires=face.expires,
        )


class FacesResponse(_Response):
    """The faces of a person."""

    faces: list[FaceInfo] = Field(description="The faces, in the order in which they were stored.")


class AddedFace(_Response):
    """The face of an image that was stored, or the stored face of which it is a copy."""

    face: FaceInfo = Field(description="The stored face.")
    duplicate_of: str | None = Field(
        None,
        exclude_if=lambda duplicate: duplicate is None,
        description="Id of the face of which the image has a copy, exactly or nearly. Then nothing was "
        "stored, and `face` is that face.",
    )


class FacesAdded(_Response):
    """The results of adding the faces of several images."""

    results: list[AddedFace | Problem] = Field(
        description="For each image, in the order of the request, its stored face or its problem."
    )


class PersonName(_Response):
    """Who a face is."""

    id: str = Field(description="Id of the person.")
    name: str | None = Field(description="Name of the person.")
    external_id: str | None = Field(None, description="Id of the person in your own system.")


class CandidatePerson(PersonName):
    """A person who is similar to a face."""

    similarity: float = Field(description="Similarity to the person's most similar face.")
    face: str = Field(description="Id of the person's most similar face.")


class IdentifiedFace(Face):
    """A face, and who it is."""

    person: PersonName | None = Field(
        description="The person; null if the face is nobody of the collection. Two faces of one image never "
        "get the same person."
    )
    similarity: float | None = Field(
        description="Similarity to the person, or to the most similar person if `person` is null; null if "
        "the collection has no faces."
    )
    candidates: list[CandidatePerson] = Field(
        description="The most similar people, by descending similarity, whether they reach the threshold or "
        "not."
    )


class IdentifyResponse(_Response):
    """The faces of an image, and who they are."""

    image: Size = Field(description="Size of the image.")
    faces: list[IdentifiedFace] = Field(description="The faces, by descending score.")
    threshold: float = Field(description="Minimum similarity to be somebody.")
    fpir: float | None = Field(
        description="False positive identification rate of the threshold, at the present number of faces. "
        "Null if the request gave the threshold."
    )
    gallery_faces: int = Field(description="Number of faces in the collection.")
    model: str = Field(description="Name of the embedder.")
    detector: str = _DETECTOR
    timing_ms: Timing = _TIMING


class PersonVerifyResponse(VerdictResponse):
    """The result of comparing the largest face of an image with a person, by the most similar face."""

    person: PersonName = Field(description="The person.")
    face_a: Face = Field(description="The face of the image that was compared.")
    face_b: FaceInfo = Field(description="The most similar face of the person.")
    timing_ms: Timing = _TIMING


class Erasing(_Response):
    """What was deleted is found no more, but its bytes are still in a file of the gallery."""

    state: Literal["erasing"] = Field("erasing", description="The service continues to erase the bytes.")
    detail: str = Field(
        "It is deleted. Its bytes are erased as soon as no other process reads the file of the gallery; the "
        "service tries it again every second.",
        description="What happens next.",
    )


class PurgeResponse(_Response):
    """What has expired."""

    dry_run: bool = Field(description="Whether it was listed only.")
    people: list[str] = Field(description="Ids of the people, who are deleted with all their faces.")
    faces: list[str] = Field(description="Ids of the faces of other people.")


class ImportResponse(_Response):
    """The result of an import."""

    collection: CollectionInfo = Field(description="The collection.")
    people: int = Field(description="Number of people who were added.")
    faces: int = Field(description="Number of faces that were added. Those whose id exists are left out.")


def names(person: records.Person) -> Mapping[str, str | None]:
    """Return the fields of `PersonName` of a person."""
    return {"id": person.id, "name": person.details.name, "external_id": person.details.external_id}
