"""Operations on the people of a collection and their faces, and the search for people in images."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Unpack

from facet_client.calls import Call, Retry, json_of, no_content
from facet_client.images import Image
from facet_client.models.faces import Box
from facet_client.models.gallery import (
    FaceInfo,
    FacesAdded,
    FacesResponse,
    IdentifyResponse,
    PeopleResponse,
    PersonInfo,
    PersonVerifyResponse,
)
from facet_client.operations.batches import image_parts
from facet_client.operations.operation import operation
from facet_client.operations.options import FaceOptions, Orientation, PersonDetails, box_fields, query_of

_PEOPLE = "/collections/{collection}/people"
_PERSON = f"{_PEOPLE}/{{person}}"
_FACE = f"{_PERSON}/faces/{{face}}"


class PeopleOperations:
    """People of a collection, their faces, and who the faces of an image are."""

    @operation(f"POST {_PEOPLE}")
    def add_person(self, collection: str, **details: Unpack[PersonDetails]) -> Call[PersonInfo]:
        """Add a person without faces to a collection.

        Args:
            collection: name of the collection.
            details: name, external id, metadata and time of expiry; all are optional.

        Returns:
            The person. An external id in use is the exception `Conflict`.
        """
        return Call(json_of(PersonInfo), path={"collection": collection}, body=details)

    @operation(f"GET {_PEOPLE}")
    def list_people(
        self,
        collection: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        name: str | None = None,
        external_id: str | None = None,
    ) -> Call[PeopleResponse]:
        """Return one page of the people of a collection. `people` yields those of all pages.

        Args:
            collection: name of the collection.
            limit: maximum number of people, at most 1,000; the service's default is 100.
            cursor: `cursor` of the previous page; None for the first one.
            name: only people whose name contains this text; case is ignored.
            external_id: only the person with this external id.

        Returns:
            The people in the order in which they were created, and the cursor of the next page.
        """
        return Call(
            json_of(PeopleResponse),
            path={"collection": collection},
            query={"limit": limit, "cursor": cursor, "name": name, "external_id": external_id},
            retry=Retry.ALWAYS,
        )

    @operation(f"GET {_PERSON}")
    def get_person(self, collection: str, person: str) -> Call[PersonInfo]:
        """Return a person.

        Args:
            collection: name of the collection.
            person: id of the person.

        Returns:
            The person.
        """
        return Call(json_of(PersonInfo), path=_path(collection, person), retry=Retry.ALWAYS)

    @operation(f"PATCH {_PERSON}")
    def update_person(
        self, collection: str, person: str, **details: Unpack[PersonDetails]
    ) -> Call[PersonInfo]:
        """Change the given details of a person; None removes a value. Metadata are replaced as a whole.

        Args:
            collection: name of the collection.
            person: id of the person.
            details: the changed details.

        Returns:
            The changed person.
        """
        return Call(json_of(PersonInfo), path=_path(collection, person), body=details)

    @operation(f"DELETE {_PERSON}")
    def delete_person(self, collection: str, person: str) -> Call[bool]:
        """Delete a person with all their faces, and erase their bytes.

        Args:
            collection: name of the collection.
            person: id of the person.

        Returns:
            Whether no byte is left. False: it is deleted, and the service still erases the bytes.
        """
        return Call(no_content, path=_path(collection, person))

    @operation(f"POST {_PERSON}/merge")
    def merge_people(self, collection: str, person: str, *, into: str) -> Call[PersonInfo]:
        """Give all faces of a person to another one, and delete the first one.

        Args:
            collection: name of the collection.
            person: id of the person who is deleted.
            into: id of the person who gets the faces.

        Returns:
            The person who got the faces.
        """
        return Call(json_of(PersonInfo), path=_path(collection, person), body={"into": into})

    @operation(f"POST {_PERSON}/faces")
    def add_faces(
        self,
        collection: str,
        person: str,
        *images: Image,
        boxes: Sequence[Box | Sequence[float] | None] | None = None,
        faces: Literal["largest", "one"] | None = None,
        expires: datetime | None = None,
        **options: Unpack[FaceOptions],
    ) -> Call[FacesAdded]:
        """Store the embedding of one face of each image. The images are not stored.

        Args:
            collection: name of the collection.
            person: id of the person.
            images: images of the person; the service takes at most 16 unless it is set otherwise.
            boxes: for each image the box of its face, as an answer has it; None for the face that `faces`
                selects. Without boxes, this applies to all images.
            faces: `largest` stores the largest face of each image; `one` refuses images with several faces.
            expires: when the faces are deleted automatically; with a time zone.
            options: options of the detection.

        Returns:
            For each image its stored face or its problem. A copy of a stored image is not stored again.
        """
        return Call(
            json_of(FacesAdded),
            path=_path(collection, person),
            query=query_of(options) | {"faces": faces, "expires": expires},
            images=image_parts(images),
            fields=box_fields(boxes, len(images)),
        )

    @operation(f"GET {_PERSON}/faces")
    def list_faces(self, collection: str, person: str) -> Call[FacesResponse]:
        """Return the faces of a person.

        Args:
            collection: name of the collection.
            person: id of the person.

        Returns:
            The faces in the order in which they were stored.
        """
        return Call(json_of(FacesResponse), path=_path(collection, person), retry=Retry.ALWAYS)

    @operation(f"DELETE {_FACE}")
    def delete_face(self, collection: str, person: str, face: str) -> Call[bool]:
        """Delete a face, and erase its bytes.

        Args:
            collection: name of the collection.
            person: id of the person.
            face: id of the face.

        Returns:
            Whether no byte is left. False: it is deleted, and the service still erases the bytes.
        """
        return Call(no_content, path=_path(collection, person) | {"face": face})

    @operation(f"POST {_FACE}/move")
    def move_face(self, collection: str, person: str, face: str, *, to: str) -> Call[FaceInfo]:
        """Give a face to another person of the collection.

        Args:
            collection: name of the collection.
            person: id of the person who has the face.
            face: id of the face.
            to: id of the person who gets it.

        Returns:
            The face.
        """
        return Call(json_of(FaceInfo), path=_path(collection, person) | {"face": face}, body={"person": to})

    @operation("POST /collections/{collection}/identify")
    def identify(
        self,
        collection: str,
        image: Image,
        *,
        fpir: float | None = None,
        threshold: float | None = None,
        top: int | None = None,
        min_face_size: float | None = None,
        max_faces: int | None = None,
        orientation: Orientation | None = None,
    ) -> Call[IdentifyResponse]:
        """Return who each face of an image is. `person` is None for a face that is nobody of the collection.

        Args:
            collection: name of the collection.
            image: the image.
            fpir: false positive identification rate: share of strangers who may be taken for somebody. It
                selects the threshold; the service's default is 0.01.
            threshold: minimum similarity to be somebody; instead of `fpir`.
            top: maximum number of candidates for each face.
            min_face_size: side of the smallest face to search for, in pixels.
            max_faces: maximum number of faces, those with the highest scores.
            orientation: `auto` also searches turned images.

        Returns:
            The faces, by descending score, each with its person and its candidates.
        """
        return Call(
            json_of(IdentifyResponse),
            path={"collection": collection},
            query={
                "fpir": fpir,
                "threshold": threshold,
                "top": top,
                "min_face_size": min_face_size,
                "max_faces": max_faces,
                "orientation": orientation,
            },
            images=[("image", image)],
            retry=Retry.ALWAYS,
        )

    @operation(f"POST {_PERSON}/verify")
    def verify_person(
        self,
        collection: str,
        person: str,
        image: Image,
        *,
        threshold: float | None = None,
        far: float | None = None,
        orientation: Orientation | None = None,
    ) -> Call[PersonVerifyResponse]:
        """Return whether the largest face of an image is a person's, by the person's most similar face.

        Args:
            collection: name of the collection.
            person: id of the person.
            image: the image.
            threshold: minimum similarity for the same person.
            far: false accept rate, which selects a calibrated threshold; instead of `threshold`.
            orientation: `auto` also searches turned images.

        Returns:
            The similarity, and whether it reaches the threshold.
        """
        return Call(
            json_of(PersonVerifyResponse),
            path=_path(collection, person),
            query={"threshold": threshold, "far": far, "orientation": orientation},
            images=[("image", image)],
            retry=Retry.ALWAYS,
        )


def _path(collection: str, person: str) -> dict[str, str]:
    return {"collection": collection, "person": person}
