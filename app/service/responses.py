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

    width: int = Field(examples=[910])
    height: int = Field(examples=[1137])

    @classmethod
    def of(cls, image: Image) -> Self:
        return cls(width=image.shape[1], height=image.shape[0])


class Box(_Answer):
    """Box of a face, half-open."""

    x1: float = Field(examples=[377.685])
    y1: float = Field(examples=[91.876])
    x2: float = Field(examples=[614.693])
    y2: float = Field(examples=[418.602])


class Keypoints(_Answer):
    """Five points. Left and right are the subject's own: a frontal face's `left_eye` lies to the right."""

    left_eye: Point = Field(examples=[(549.477, 211.103)])
    right_eye: Point = Field(examples=[(444.09, 212.346)])
    nose: Point = Field(examples=[(497.103, 274.706)])
    mouth_left: Point = Field(examples=[(553.965, 318.518)])
    mouth_right: Point = Field(examples=[(436.726, 322.382)])


class Face(_Answer):
    """A face: its position, and the detector's score."""

    box: Box
    score: float = Field(examples=[0.992872953414917])
    keypoints: Keypoints

    @classmethod
    def all_of(cls, faces: Faces) -> list[Self]:
        return [cls.model_validate(row) for row in _rows(faces)]


class FaceWithLandmarks(Face):
    """A face with its landmarks, in the order of the answer's `scheme`."""

    landmarks: list[Point] = Field(examples=[[(369.18, 219.83), (370.743, 253.192)]])


class FaceWithEmbedding(Face):
    """A face with its embedding, a unit vector."""

    embedding: list[float] = Field(examples=[[0.01602347, 0.00471078, -0.01296952]])


Timing = dict[str, float]

_STAGES = "milliseconds per stage, and in total"

_TIMING = Field(
    description=_STAGES,
    examples=[{"queue": 0.1, "decode": 9.2, "pnet": 14.1, "rnet": 3.8, "onet": 2.4, "total": 29.8}],
)


class DetectResponse(_Answer):
    """The picture's faces, by descending score."""

    image: Size
    faces: list[Face]
    model: str = Field(examples=["cascade"])
    timing_ms: Timing = _TIMING


class LandmarksResponse(_Answer):
    """The picture's faces with landmarks: by descending score, or in the order of the given boxes."""

    image: Size
    faces: list[FaceWithLandmarks]
    scheme: Scheme = Field(description="which points, in which order: iBUG's 68 or Kaggle's 15")
    model: str = Field(description="the landmark model", examples=["landmarks68"])
    detector: str = Field(examples=["cascade"])
    timing_ms: Timing = _TIMING


class EmbedResponse(_Answer):
    """The picture's faces with embeddings: by descending score, or in the order of the given boxes."""

    image: Size
    faces: list[FaceWithEmbedding]
    dimension: int = Field(examples=[256])
    model: str = Field(description="the embedder", examples=["fused"])
    detector: str = Field(examples=["cascade"])
    timing_ms: Timing = _TIMING


class VerifyResponse(_Answer):
    """Whether two pictures show the same person: `similarity` at or above `threshold`."""

    verified: bool = Field(examples=[True])
    similarity: float = Field(description="greater means more alike", examples=[0.9062579870223999])
    probability: float | None = Field(
        None,
        description="probability that both faces are the same person, assuming a 50% prior; null if the "
        "model is not calibrated for it",
        examples=[0.9999196247324649],
    )
    threshold: float = Field(examples=[0.7453])
    far: float | None = Field(
        None, description="false accept rate for which the threshold is calibrated", examples=[0.001]
    )
    metric: Literal["cosine", "probability"] = Field(description="unit of `similarity`")
    model: str = Field(examples=["fused"])
    detector: str = Field(examples=["cascade"])
    face_a: Face
    face_b: Face
    timing_ms: Timing = Field(
        description=_STAGES,
        examples=[
            {
                "queue": 2.361,
                "decode": 29.095,
                "pnet": 179.947,
                "rnet": 19.463,
                "onet": 5.395,
                "align": 5.121,
                "embed": 96.168,
                "total": 338.559,
            }
        ],
    )


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
