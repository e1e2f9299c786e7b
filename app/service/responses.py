"""Responses of the API and the command line. Coordinates are in pixels of the upright image."""

from typing import Literal, Self

import numpy as np
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, Field

from app.pipeline.faces import Faces
from app.vision.points import FIVE, Scheme
from app.vision.pyramid import Image
from app.vision.turns import Rotation

Point = tuple[float, float]
Point3 = tuple[float, float, float]

_DECIMALS = 3  # of pixels and of milliseconds


class _Response(BaseModel):
    model_config = ConfigDict(frozen=True)


class Size(_Response):
    """Size of an image, after its EXIF orientation was applied."""

    width: int = Field(description="Width in pixels.")
    height: int = Field(description="Height in pixels.")

    @classmethod
    def of(cls, image: Image) -> Self:
        """Return the size of an image (h, w, 3)."""
        return cls(width=image.shape[1], height=image.shape[0])


class Box(_Response):
    """Box of a face in pixels, half-open: it contains `x1` and `y1`, but not `x2` and `y2`."""

    x1: float = Field(description="Left edge.")
    y1: float = Field(description="Top edge.")
    x2: float = Field(description="Right edge.")
    y2: float = Field(description="Bottom edge.")


class Keypoints(_Response):
    """The five points of a face, `[x, y]` in pixels; pixel centres are at integers.

    Left and right are the subject's own: in a frontal face, `left_eye` is on the right side of the image.
    """

    left_eye: Point = Field(description="Centre of the left eye.")
    right_eye: Point = Field(description="Centre of the right eye.")
    nose: Point = Field(description="Tip of the nose.")
    mouth_left: Point = Field(description="Left corner of the mouth.")
    mouth_right: Point = Field(description="Right corner of the mouth.")


class Pose(_Response):
    """Pose of a head in degrees; all are 0 for an upright head that faces the camera."""

    yaw: float = Field(description="Positive if the person turns to the own left.")
    pitch: float = Field(description="Positive if the person looks up.")
    roll: float = Field(description="Positive if the head tilts clockwise in the image.")


class Face(_Response):
    """A face: its position and score."""

    box: Box = Field(description="Box of the face.")
    score: float = Field(description="Probability that this is a face, 0 to 1.")
    keypoints: Keypoints = Field(description="The five points of the face.")
    pose: Pose | None = Field(
        None,
        exclude_if=lambda pose: pose is None,
        description="Pose of the head, if the request has `pose=true`.",
    )
    quality: float | None = Field(
        None,
        exclude_if=lambda quality: quality is None,
        description="Quality of the face for recognition, 0 to 1, if the request has `quality=true`: the "
        "expected share of comparisons with other images of the same person that accept it.",
    )
    rotation: Rotation = Field(
        description="By how many degrees the image was turned clockwise when the face was found: 0, or with "
        "`orientation=auto` also 90, 180 or 270. The face is upright if the image is turned by it. All "
        "coordinates are those of the image as it was sent."
    )

    @classmethod
    def all_of(cls, faces: Faces) -> list[Self]:
        """Return the response objects of all faces, in their order."""
        return [cls.model_validate(row) for row in _rows(faces)]


class FaceWithLandmarks(Face):
    """A face with its landmarks."""

    landmarks: list[Point] | list[Point3] = Field(
        description="Landmarks `[x, y]` in pixels, in the order of the `scheme` of the response. Those of "
        "`mesh468` are `[x, y, z]`: z is the depth in pixels, less is nearer to the camera."
    )


class FaceWithEmbedding(Face):
    """A face with its embedding."""

    embedding: list[float] = Field(
        description="The embedding: a vector of length 1 with `dimension` elements."
    )


Timing = dict[str, float]

_IMAGE = Field(description="Size of the image.")
_DETECTOR = Field(description="Name of the detector that found the faces.")
_TIMING = Field(
    description="Processing time in milliseconds: `total`, the time in each stage, and the waiting time in "
    "`queue`."
)


class DetectResponse(_Response):
    """The faces of an image."""

    image: Size = _IMAGE
    faces: list[Face] = Field(description="The faces, by descending score.")
    model: str = Field(description="Name of the detector.")
    timing_ms: Timing = _TIMING


class LandmarksResponse(_Response):
    """The faces of an image with their landmarks."""

    image: Size = _IMAGE
    faces: list[FaceWithLandmarks] = Field(
        description="The faces, by descending score or in the order of the `boxes` of the request."
    )
    scheme: Scheme = Field(
        description="The points and their order: `ibug68` (68 points of iBUG), `kaggle15` (15 points of "
        "Kaggle's Facial Keypoints Detection) or `mesh468` (the vertices of MediaPipe's face mesh)."
    )
    model: str = Field(description="Name of the landmark model.")
    detector: str = _DETECTOR
    timing_ms: Timing = _TIMING


class EmbedResponse(_Response):
    """The faces of an image with their embeddings."""

    image: Size = _IMAGE
    faces: list[FaceWithEmbedding] = Field(
        description="The faces, by descending score or in the order of the `boxes` of the request."
    )
    dimension: int = Field(description="Number of elements of an embedding.")
    model: str = Field(description="Name of the embedder.")
    detector: str = _DETECTOR
    timing_ms: Timing = _TIMING


class VerdictResponse(_Response):
    """The similarity of two faces, and whether it reaches a threshold."""

    verified: bool = Field(description="Whether the faces are the same person: `similarity` >= `threshold`.")
    similarity: float = Field(description="Similarity of the two faces; greater means more similar.")
    probability: float | None = Field(
        None,
        description="Probability that both faces are the same person, assuming a 50% prior. Null if the "
        "model is not calibrated for it.",
    )
    threshold: float = Field(description="Minimum similarity for the same person.")
    far: float | None = Field(
        None,
        description="False accept rate that the threshold is calibrated for. Null if the request gave the "
        "threshold.",
    )
    metric: Literal["cosine", "probability"] = Field(
        description="Kind of `similarity`: `cosine` (-1 to 1) or `probability` (0 to 1)."
    )
    model: str = Field(description="Name of the embedder.")
    detector: str = _DETECTOR


class VerifyResponse(VerdictResponse):
    """The result of comparing the largest faces of two images."""

    face_a: Face = Field(description="The face of `image_a` that was compared.")
    face_b: Face = Field(description="The face of `image_b` that was compared.")
    timing_ms: Timing = _TIMING


def rounded(timing: Timing) -> Timing:
    """Return the milliseconds rounded to three decimals."""
    return {stage: round(ms, _DECIMALS) for stage, ms in timing.items()}


def _rows(faces: Faces) -> list[dict[str, object]]:
    boxes = _pixels(faces.boxes)
    points = _pixels(faces.points)
    rotations = [0] * len(faces) if faces.rotations is None else faces.rotations.tolist()
    rows: list[dict[str, object]] = [
        {
            "box": dict(zip(Box.model_fields, box, strict=True)),
            "score": score,
            "keypoints": dict(zip(FIVE, five, strict=True)),
            "rotation": rotation,
        }
        for box, score, five, rotation in zip(boxes, faces.scores.tolist(), points, rotations, strict=True)
    ]
    if faces.poses is not None:
        for row, pose in zip(rows, _pixels(faces.poses), strict=True):
            row["pose"] = dict(zip(Pose.model_fields, pose, strict=True))
    if faces.qualities is not None:
        for row, quality in zip(rows, _pixels(faces.qualities), strict=True):
            row["quality"] = quality
    if faces.landmarks is not None:
        for row, landmarks in zip(rows, _pixels(faces.landmarks), strict=True):
            row["landmarks"] = landmarks
    if faces.embeddings is not None:
        for row, embedding in zip(rows, faces.embeddings.astype(np.float64).round(8).tolist(), strict=True):
            row["embedding"] = embedding
    return rows


def _pixels(values: ndarray) -> list[list[float]]:
    return values.astype(np.float64).round(_DECIMALS).tolist()
