"""Answers of the API and the command line. Coordinates are pixels of the upright picture."""

from typing import Literal, Self

import numpy as np
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, Field

from app.pipeline.faces import Faces
from app.vision.points import FIVE, Scheme
from app.vision.pyramid import Image

Point = tuple[float, float]

_DECIMALS = 3  # of a pixel, and of a millisecond


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Size(_Answer):
    """Size of a picture in pixels, after EXIF orientation."""

    width: int
    height: int

    @classmethod
    def of(cls, image: Image) -> Self:
        return cls(width=image.shape[1], height=image.shape[0])


class Box(_Answer):
    """Box of a face, half-open."""

    x1: float
    y1: float
    x2: float
    y2: float


class Keypoints(_Answer):
    """Five points. Left and right are the subject's own: a frontal face's `left_eye` lies to the right."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


class Face(_Answer):
    """A face: its position, and the detector's score."""

    box: Box
    score: float = Field(description="probability that it is a face, 0 to 1")
    keypoints: Keypoints

    @classmethod
    def all_of(cls, faces: Faces) -> list[Self]:
        return [cls.model_validate(row) for row in _rows(faces)]


class FaceWithLandmarks(Face):
    """A face with its landmarks, in the order of the answer's `scheme`."""

    landmarks: list[Point] = Field(description="points in pixels, in the order of `scheme`")


class FaceWithEmbedding(Face):
    """A face with its embedding, a unit vector."""

    embedding: list[float] = Field(description="`dimension` numbers")


Timing = dict[str, float]

_TIMING = Field(description="milliseconds per stage, and in total")


class DetectResponse(_Answer):
    """The picture's faces, by descending score."""

    image: Size
    faces: list[Face]
    model: str = Field(description="the detector")
    timing_ms: Timing = _TIMING


class LandmarksResponse(_Answer):
    """The picture's faces with landmarks: by descending score, or in the order of the given boxes."""

    image: Size
    faces: list[FaceWithLandmarks]
    scheme: Scheme = Field(description="which points, in which order: iBUG's 68 or Kaggle's 15")
    model: str = Field(description="the landmark model")
    detector: str = Field(description="the detector that found the faces")
    timing_ms: Timing = _TIMING


class EmbedResponse(_Answer):
    """The picture's faces with embeddings: by descending score, or in the order of the given boxes."""

    image: Size
    faces: list[FaceWithEmbedding]
    dimension: int = Field(description="length of an embedding")
    model: str = Field(description="the embedder")
    detector: str = Field(description="the detector that found the faces")
    timing_ms: Timing = _TIMING


class VerifyResponse(_Answer):
    """Whether two pictures show the same person: `similarity` at or above `threshold`."""

    verified: bool = Field(description="whether `similarity` reaches `threshold`")
    similarity: float = Field(description="greater means more alike")
    probability: float | None = Field(
        None,
        description="probability that both faces are the same person, assuming a 50% prior; null if the "
        "model is not calibrated for it",
    )
    threshold: float = Field(description="similarity that was required")
    far: float | None = Field(None, description="false accept rate for which the threshold is calibrated")
    metric: Literal["cosine", "probability"] = Field(description="unit of `similarity`")
    model: str = Field(description="the embedder")
    detector: str = Field(description="the detector that found the faces")
    face_a: Face
    face_b: Face
    timing_ms: Timing = _TIMING


def rounded(timing: Timing) -> Timing:
    """Return milliseconds rounded to a microsecond."""
    return {stage: round(ms, _DECIMALS) for stage, ms in timing.items()}


def _rows(faces: Faces) -> list[dict[str, object]]:
    boxes = _pixels(faces.boxes)
    points = _pixels(faces.points)
    rows: list[dict[str, object]] = [
        {
            "box": dict(zip(Box.model_fields, box, strict=True)),
            "score": score,
            "keypoints": dict(zip(FIVE, five, strict=True)),
        }
        for box, score, five in zip(boxes, faces.scores.tolist(), points, strict=True)
    ]
    if faces.landmarks is not None:
        for row, landmarks in zip(rows, _pixels(faces.landmarks), strict=True):
            row["landmarks"] = landmarks
    if faces.embeddings is not None:
        for row, embedding in zip(rows, faces.embeddings.astype(np.float64).round(8).tolist(), strict=True):
            row["embedding"] = embedding
    return rows


def _pixels(values: ndarray) -> list[list[float]]:
    return values.astype(np.float64).round(_DECIMALS).tolist()
