"""Operations on one or two images."""

from __future__ import annotations

from typing import Literal, Unpack

import httpx

from facet_client.calls import Call, Retry, json_of
from facet_client.errors import UnexpectedAnswer
from facet_client.images import Image
from facet_client.models.faces import DetectResponse, EmbedResponse, LandmarksResponse, VerifyResponse
from facet_client.operations.operation import operation
from facet_client.operations.options import Boxes, DetectOptions, Orientation, boxes_field, query_of

DrawnFormat = Literal["png", "jpeg"]
"""File format of a drawn image."""


class FaceOperations:
    """Detection, landmarks, embeddings and verification."""

    @operation("POST /detect")
    def detect(self, image: Image, **options: Unpack[DetectOptions]) -> Call[DetectResponse]:
        """Return the box, the score and the five points of every face in an image.

        Args:
            image: the image.
            options: options of the detection.

        Returns:
            The faces, by descending score; none if there is no face.
        """
        return Call(
            json_of(DetectResponse), query=query_of(options), images=[("image", image)], retry=Retry.ALWAYS
        )

    @operation("POST /landmarks")
    def landmarks(
        self, image: Image, *, boxes: Boxes | None = None, **options: Unpack[DetectOptions]
    ) -> Call[LandmarksResponse]:
        """Return the landmarks of every face in an image.

        Args:
            image: the image.
            boxes: boxes of the faces, which replace detection; the answer keeps their order.
            options: options of the detection; `model` names a landmark model.

        Returns:
            The faces with their landmarks.
        """
        return Call(
            json_of(LandmarksResponse),
            query=query_of(options),
            images=[("image", image)],
            fields=boxes_field(boxes),
            retry=Retry.ALWAYS,
        )

    @operation("POST /embed")
    def embed(
        self, image: Image, *, boxes: Boxes | None = None, **options: Unpack[DetectOptions]
    ) -> Call[EmbedResponse]:
        """Return the embedding of every face in an image.

        Args:
            image: the image.
            boxes: boxes of the faces, which replace detection; the answer keeps their order.
            options: options of the detection; `model` names an embedder.

        Returns:
            The faces with their embeddings, which have the length 1.
        """
        return Call(
            json_of(EmbedResponse),
            query=query_of(options),
            images=[("image", image)],
            fields=boxes_field(boxes),
            retry=Retry.ALWAYS,
        )

    @operation("POST /verify")
    def verify(
        self,
        image_a: Image,
        image_b: Image,
        *,
        model: str | None = None,
        threshold: float | None = None,
        far: float | None = None,
        orientation: Orientation | None = None,
    ) -> Call[VerifyResponse]:
        """Return whether the largest faces of two images are the same person.

        Args:
            image_a: the first image.
            image_b: the second image.
            model: name of an embedder.
            threshold: minimum similarity for the same person.
            far: false accept rate, which selects a calibrated threshold; instead of `threshold`.
            orientation: `auto` also searches turned images.

        Returns:
            The similarity, and whether it reaches the threshold. An image without a face is the exception
            `NoUsableFace`.
        """
        return Call(
            json_of(VerifyResponse),
            query={"model": model, "threshold": threshold, "far": far, "orientation": orientation},
            images=[("image_a", image_a), ("image_b", image_b)],
            retry=Retry.ALWAYS,
        )

    @operation("POST /detect")
    def draw_faces(
        self, image: Image, *, format: DrawnFormat = "png", **options: Unpack[DetectOptions]
    ) -> Call[bytes]:
        """Return an image with its faces drawn on it.

        Args:
            image: the image.
            format: file format of the result.
            options: options of the detection.

        Returns:
            The bytes of a PNG or JPEG file.
        """
        return Call(
            _picture,
            query=query_of(options),
            images=[("image", image)],
            accept=f"image/{format}",
            retry=Retry.ALWAYS,
        )

    @operation("POST /landmarks")
    def draw_landmarks(
        self,
        image: Image,
        *,
        boxes: Boxes | None = None,
        format: DrawnFormat = "png",
        **options: Unpack[DetectOptions],
    ) -> Call[bytes]:
        """Return an image with the landmarks of its faces drawn on it.

        Args:
            image: the image.
            boxes: boxes of the faces, which replace detection.
            format: file format of the result.
            options: options of the detection; `model` names a landmark model.

        Returns:
            The bytes of a PNG or JPEG file.
        """
        return Call(
            _picture,
            query=query_of(options),
            images=[("image", image)],
            fields=boxes_field(boxes),
            accept=f"image/{format}",
            retry=Retry.ALWAYS,
        )


def _picture(response: httpx.Response) -> bytes:
    """Return the image in a response.

    Raises:
        UnexpectedAnswer: it has none.
    """
    media = response.headers.get("Content-Type", "")
    if not media.startswith("image/"):
        raise UnexpectedAnswer(
            f"The answer of {response.request.url.path} has the type {media!r}, but an image was asked for."
        )
    return response.content
