"""Answers about the gallery: collections, people, their faces, and who the faces of an image are."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from facet_client.models.base import Answer, JsonObject, ResultsOf
from facet_client.models.faces import Box, Comparison, Face, Size


class CollectionInfo(Answer):
    """A collection of people."""

    name: str = Field(description="Name of the collection.")
    model: str = Field(description="Name of the embedder of the collection.")
    contract: str = Field(description="Id of the embedding contract: vectors of one contract are comparable.")
    usable: bool = Field(description="Whether the loaded models make vectors of this contract.")
    people: int = Field(description="Number of people.")
    faces: int = Field(description="Number of faces.")
    created: datetime = Field(description="When the collection was created.")


class CollectionsResponse(Answer):
    """All collections."""

    collections: list[CollectionInfo] = Field(description="The collections, by name.")


class PersonInfo(Answer):
    """A person of a collection."""

    id: str = Field(description="Id of the person, unique in the collection.")
    name: str | None = Field(None, description="Name of the person.")
    external_id: str | None = Field(None, description="Id of the person in your own system.")
    metadata: JsonObject | None = Field(None, description="The metadata that you stored.")
    faces: int = Field(description="Number of faces.")
    created: datetime = Field(description="When the person was created.")
    expires: datetime | None = Field(
        None, description="When the person and their faces are deleted automatically; None for never."
    )


class PeopleResponse(Answer):
    """A page of the people of a collection."""

    people: list[PersonInfo] = Field(description="The people, in the order in which they were created.")
    cursor: str | None = Field(None, description="The `cursor` of the next page; None on the last one.")


class FaceInfo(Answer):
    """A stored face. The image is not stored."""

    id: str = Field(description="Id of the face, unique in the collection.")
    person: str = Field(description="Id of the person.")
    box: Box = Field(description="Box of the face in its image.")
    score: float = Field(description="Probability that this is a face, 0 to 1.")
    quality: float | None = Field(None, description="Quality for recognition, 0 to 1, if it was measured.")
    source_sha256: str = Field(description="SHA-256 of the encoded image.")
    created: datetime = Field(description="When the face was stored.")
    expires: datetime | None = Field(
        None, description="When the face is deleted automatically; None for never."
    )


class FacesResponse(Answer):
    """The faces of a person."""

    faces: list[FaceInfo] = Field(description="The faces, in the order in which they were stored.")


class AddedFace(Answer):
    """The face of an image that was stored, or the stored face of which it is a copy."""

    face: FaceInfo = Field(description="The stored face.")
    duplicate_of: str | None = Field(
        None, description="Id of the stored face of which the image has a copy. Then nothing was stored."
    )


class FacesAdded(ResultsOf[AddedFace]):
    """The results of adding the faces of several images."""


class PersonName(Answer):
    """Who a face is."""

    id: str = Field(description="Id of the person.")
    name: str | None = Field(None, description="Name of the person.")
    external_id: str | None = Field(None, description="Id of the person in your own system.")


class CandidatePerson(PersonName):
    """A person who is similar to a face."""

    similarity: float = Field(description="Similarity to the person's most similar face.")
    face: str = Field(description="Id of the person's most similar face.")


class IdentifiedFace(Face):
    """A face, and who it is."""

    person: PersonName | None = Field(
        None, description="The person; None if the face is nobody of the collection."
    )
    similarity: float | None = Field(
        None, description="Similarity to the person, or else to the most similar person, if there is one."
    )
    candidates: list[CandidatePerson] = Field(
        default_factory=list,
        description="The most similar people, by descending similarity, also below the threshold.",
    )


class IdentifyResponse(Answer):
    """The faces of an image, and who they are."""

    image: Size = Field(description="Size of the image.")
    faces: list[IdentifiedFace] = Field(description="The faces, by descending score.")
    threshold: float = Field(description="Minimum similarity to be somebody.")
    fpir: float | None = Field(
        None,
        description="False positive identification rate of the threshold. None if the request gave the "
        "threshold.",
    )
    gallery_faces: int = Field(description="Number of faces in the collection.")
    model: str = Field(description="Name of the embedder.")
    detector: str = Field(description="Name of the detector that found the faces.")
    timing_ms: dict[str, float] = Field(
        default_factory=dict, description="Milliseconds in each stage, in `queue`, and in `total`."
    )


class PersonVerifyResponse(Comparison):
    """The result of comparing the largest face of an image with a person."""

    person: PersonName = Field(description="The person.")
    face_b: FaceInfo = Field(description="The most similar face of the person.")


class PurgeResponse(Answer):
    """What has expired."""

    dry_run: bool = Field(description="Whether it was listed only.")
    people: list[str] = Field(description="Ids of the people, who are deleted with all their faces.")
    faces: list[str] = Field(description="Ids of the faces of other people.")


class ImportResponse(Answer):
    """The result of an import."""

    collection: CollectionInfo = Field(description="The collection.")
    people: int = Field(description="Number of people who were added.")
    faces: int = Field(description="Number of faces that were added. Those whose id exists are left out.")


class ExportSummary(Answer):
    """The last line of an export."""

    end: Literal[True] = Field(description="Marks the last line.")
    people: int = Field(description="Number of people in the export.")
    faces: int = Field(description="Number of faces in the export.")
