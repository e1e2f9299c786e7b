"""Operations on several images in one request. An image that fails has a problem in its place."""

from __future__ import annotations

from typing import Unpack

from facet_client.calls import Call, Retry, json_of
from facet_client.images import Image
from facet_client.models.faces import ClusterResponse, DetectBatch, EmbedBatch, LandmarksBatch
from facet_client.operations.operation import operation
from facet_client.operations.options import DetectOptions, Orientation, query_of

_CLUSTER_TIMEOUT_S = 660.0
"""The service itself takes 600 s at most, unless it is set otherwise."""


class BatchOperations:
    """Detection, landmarks and embeddings of several images in one request."""

    @operation("POST /detect/batch")
    def detect_batch(self, *images: Image, **options: Unpack[DetectOptions]) -> Call[DetectBatch]:
        """Return the faces of several images.

        Args:
            images: the images; the service takes at most 16 unless it is set otherwise.
            options: options of the detection.

        Returns:
            For each image its faces or its problem.
        """
        return Call(
            json_of(DetectBatch), query=query_of(options), images=image_parts(images), retry=Retry.ALWAYS
        )

    @operation("POST /landmarks/batch")
    def landmarks_batch(self, *images: Image, **options: Unpack[DetectOptions]) -> Call[LandmarksBatch]:
        """Return the faces of several images with their landmarks.

        Args:
            images: the images; the service takes at most 16 unless it is set otherwise.
            options: options of the detection; `model` names a landmark model.

        Returns:
            For each image its faces or its problem.
        """
        return Call(
            json_of(LandmarksBatch), query=query_of(options), images=image_parts(images), retry=Retry.ALWAYS
        )

    @operation("POST /embed/batch")
    def embed_batch(self, *images: Image, **options: Unpack[DetectOptions]) -> Call[EmbedBatch]:
        """Return the faces of several images with their embeddings.

        Args:
            images: the images; the service takes at most 16 unless it is set otherwise.
            options: options of the detection; `model` names an embedder.

        Returns:
            For each image its faces or its problem.
        """
        return Call(
            json_of(EmbedBatch), query=query_of(options), images=image_parts(images), retry=Retry.ALWAYS
        )

    @operation("POST /cluster")
    def cluster(
        self,
        *images: Image,
        model: str | None = None,
        threshold: float | None = None,
        min_face_size: float | None = None,
        max_faces: int | None = None,
        orientation: Orientation | None = None,
        timeout_s: float = _CLUSTER_TIMEOUT_S,
    ) -> Call[ClusterResponse]:
        """Return the faces of many images, with one number for the faces of one person. Nothing is stored.

        Args:
            images: the images, which are all read into memory; the service takes at most 1,000 unless it is
                set otherwise.
            model: name of an embedder.
            threshold: minimum mean similarity of two clusters that are merged.
            min_face_size: side of the smallest face to search for, in pixels.
            max_faces: maximum number of faces of an image, those with the highest scores.
            orientation: `auto` also searches turned images.
            timeout_s: seconds to wait for the answer, in place of those of the client.

        Returns:
            For each image its faces with their clusters, or its problem.
        """
        return Call(
            json_of(ClusterResponse),
            query={
                "model": model,
                "threshold": threshold,
                "min_face_size": min_face_size,
                "max_faces": max_faces,
                "orientation": orientation,
            },
            images=image_parts(images),
            retry=Retry.ALWAYS,
            timeout_s=timeout_s,
        )


def image_parts(images: tuple[Image, ...]) -> list[tuple[str, Image]]:
    """Return the fields of a form for several images.

    Raises:
        ValueError: there is no image.
    """
    if not images:
        raise ValueError(
            "There is no image. Pass one or more, such as client.detect_batch('a.jpg', 'b.jpg')."
        )
    return [("image", image) for image in images]
