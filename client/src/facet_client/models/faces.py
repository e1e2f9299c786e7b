"""Answers about the faces of images. Coordinates are in pixels of the upright image."""

from __future__ import annotations

from pydantic import Field

from facet_client.models.base import Answer, ResultsOf

Point = tuple[float, float]
"""A point `x, y` in pixels; pixel centres are at integers."""

Point3 = tuple[float, float, float]
"""A point `x, y, z` in pixels; a lower z is nearer to the camera."""


class Size(Answer):
    """Size of an image, after its EXIF orientation was applied."""

    width: int = Field(description="Width in pixels.")
    height: int = Field(description="Height in pixels.")


class Box(Answer):
    """Box of a face in pixels, half-open: it contains `x1` and `y1`, but not `x2` and `y2`."""

    x1: float = Field(description="Left edge.")
    y1: float = Field(description="Top edge.")
    x2: float = Field(description="Right edge.")
    y2: float = Field(description="Bottom edge.")


class Keypoints(Answer):
    """The five points of a face. Left and right are the subject's own."""

    left_eye: Point = Field(description="Centre of the left eye.")
    right_eye: Point = Field(description="Centre of the right eye.")
    nose: Point = Field(description="Tip of the nose.")
    mouth_left: Point = Field(description="Left corner of the mouth.")
    mouth_right: Point = Field(description="Right corner of the mouth.")


class Pose(Answer):
    """Pose of a head in degrees; all are 0 for an upright head that faces the camera."""

    yaw: float = Field(description="Positive if the person turns to the own left.")
    pitch: float = Field(description="Positive if the person looks up.")
    roll: float = Field(description="Positive if the head tilts clockwise in the image.")


class Face(Answer):
    """A face: its position and score."""

    box: Box = Field(description="Box of the face.")
    score: float = Field(description="Probability that this is a face, 0 to 1.")
    keypoints: Keypoints = Field(description="The five points of the face.")
    pose: Pose | None = Field(None, description="Pose of the head, if the request has `pose=True`.")
    quality: float | None = Field(
        None, description="Quality for recognition, 0 to 1, if the request has `quality=True`."
    )
    rotation: int = Field(
        0, description="By how many degrees the image was turned clockwise when the face was found."
    )


class FaceWithLandmarks(Face):
    """A face with its landmarks."""

    landmarks: list[Point] | list[Point3] = Field(
        description="Landmarks in the order of the `scheme`; those of `mesh468` have a depth."
    )


class FaceWithEmbedding(Face):
    """A face with its embedding."""

    embedding: list[float] = Field(description="A vector of length 1 with `dimension` elements.")


class _Timed(Answer):
    timing_ms: dict[str, float] = Field(
        default_factory=dict, description="Milliseconds in each stage, in `queue`, and in `total`."
    )


class DetectResponse(_Timed):
    """The faces of an image."""

    image: Size = Field(description="Size of the image.")
    faces: list[Face] = Field(description="The faces, by descending score.")
    model: str = Field(description="Name of the detector.")


class LandmarksResponse(_Timed):
    """The faces of an image with their landmarks."""

    image: Size = Field(description="Size of the image.")
    faces: list[FaceWithLandmarks] = Field(
        description="The faces, by descending score or in the order of the `boxes` of the request."
    )
    scheme: str = Field(description="The points and their order: `ibug68`, `kaggle15` or `mesh468`.")
    model: str = Field(description="Name of the landmark model.")
    detector: str = Field(description="Name of the detector that found the faces.")


class EmbedResponse(_Timed):
    """The faces of an image with their embeddings."""

    image: Size = Field(description="Size of the image.")
    faces: list[FaceWithEmbedding] = Field(
        description="The faces, by descending score or in the order of the `boxes` of the request."
    )
    dimension: int = Field(description="Number of elements of an embedding.")
    model: str = Field(description="Name of the embedder.")
    detector: str = Field(description="Name of the detector that found the faces.")


class Comparison(_Timed):
    """The fields of all comparisons of two faces."""

    verified: bool = Field(description="Whether the faces are the same person: `similarity` >= `threshold`.")
    similarity: float = Field(description="Similarity; greater means more similar.")
    probability: float | None = Field(
        None, description="Probability that both faces are the same person, assuming a 50% prior."
    )
    threshold: float = Field(description="Minimum similarity for the same person.")
    far: float | None = Field(
        None, description="False accept rate of the threshold. None if the request gave the threshold."
    )
    metric: str = Field("cosine", description="Kind of `similarity`: `cosine` or `probability`.")
    model: str = Field(description="Name of the embedder.")
    detector: str = Field(description="Name of the detector that found the faces.")
    face_a: Face = Field(description="The face of the first image that was compared.")


class VerifyResponse(Comparison):
    """The result of comparing the largest faces of two images."""

    face_b: Face = Field(description="The face of the second image that was compared.")


class DetectBatch(ResultsOf[DetectResponse]):
    """The results of detection for several images."""


class LandmarksBatch(ResultsOf[LandmarksResponse]):
    """The results of landmark detection for several images."""


class EmbedBatch(ResultsOf[EmbedResponse]):
    """The results of embedding for several images."""


class ClusteredFace(Face):
    """A face, and the cluster that it belongs to."""

    cluster: int | None = Field(
        None, description="Number of the cluster, from 0 by descending size; None if it is alike to no other."
    )


class ClusteredImage(Answer):
    """The faces of an image with their clusters."""

    image: Size = Field(description="Size of the image.")
    faces: list[ClusteredFace] = Field(description="The faces, by descending score.")


class ClusterResponse(ResultsOf[ClusteredImage]):
    """The faces of several images in clusters: the faces of one person have one number."""

    clusters: int = Field(description="Number of clusters, each of at least two faces.")
    threshold: float = Field(description="Minimum mean similarity of two clusters that are merged.")
    far: float | None = Field(
        None, description="False accept rate of the threshold. None if the request gave the threshold."
    )
    model: str = Field(description="Name of the embedder.")
    detector: str = Field(description="Name of the detector that found the faces.")
