"""The faces of one picture, as arrays: what the stages pass on. Zero faces are an ordinary case."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision.boxes import area

SIMILAR_AREA = 0.7
MIN_CENTRE_GAIN = 0.25
"""When another face is preferred to the largest, see `Faces.largest`. Chosen on LFW's dev pairs."""


@dataclass(frozen=True)
class Faces:
    """The faces of one picture, by descending score. Points are in the order of `points.FIVE`."""

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    points: Float32[ndarray, "n 5 2"]
    landmarks: Float32[ndarray, "n k 2"] | None = None
    embeddings: Float32[ndarray, "n d"] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, index: ndarray) -> "Faces":
        """Return the faces at `index`."""
        return Faces(
            self.boxes[index],
            self.scores[index],
            self.points[index],
            None if self.landmarks is None else self.landmarks[index],
            None if self.embeddings is None else self.embeddings[index],
        )

    def largest(self, width: int, height: int) -> "Faces":
        """Return the largest face alone, or among similarly large faces one that is clearly more central.

        Similarly large means at least `SIMILAR_AREA` of the largest box's area: the box of a face turned away
        is that much smaller, and of two people the one in the middle is the subject. Clearly more central
        means nearer to the picture's centre by at least `MIN_CENTRE_GAIN` of the largest face's side.

        Args:
            width: of the picture in pixels.
            height: likewise.
        """
        if len(self) == 0:
            return self
        areas = area(self.boxes)
        first = int(areas.argmax())
        offset = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2 - np.array([width, height], np.float32) / 2
        distance = np.where(areas >= SIMILAR_AREA * areas[first], np.linalg.norm(offset, axis=1), np.inf)
        central = int(distance.argmin())
        more_central = distance[first] - distance[central] >= MIN_CENTRE_GAIN * np.sqrt(areas[first])
        return self.take(np.array([central if more_central else first]))


NO_FACES = Faces(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))
