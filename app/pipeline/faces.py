"""The faces of one image, as arrays that the stages pass on. There may be no face."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

from app.vision.boxes import area

SIMILAR_AREA = 0.7
MIN_CENTRE_GAIN = 0.25
"""When `Faces.largest` prefers another face to the largest one. Chosen on the development pairs of LFW."""


@dataclass(frozen=True)
class Faces:
    """The faces of one image.

    Attributes:
        boxes: `x1, y1, x2, y2` in pixels, half-open.
        scores: scores, 0 to 1.
        points: five points per face in pixels, in the order of `points.FIVE`.
        landmarks: k landmarks per face in pixels, in the order of their scheme; with depth as third number if
            the scheme has it.
        embeddings: one vector of length 1 per face.
        rotations: by how many degrees the image was turned clockwise when the face was found: 0, 90, 180 or
            270; 0 for all faces if None.
        poses: yaw, pitch and roll of each head in degrees, see `app.vision.mesh.pose`.
    """

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    points: Float32[ndarray, "n 5 2"]
    landmarks: Float32[ndarray, "n k d"] | None = None
    embeddings: Float32[ndarray, "n e"] | None = None
    rotations: Int64[ndarray, " n"] | None = None
    poses: Float32[ndarray, "n 3"] | None = None
    qualities: Float32[ndarray, " n"] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, index: ndarray) -> "Faces":
        """Return the faces at these indices, in their order."""
        return Faces(
            self.boxes[index],
            self.scores[index],
            self.points[index],
            None if self.landmarks is None else self.landmarks[index],
            None if self.embeddings is None else self.embeddings[index],
            None if self.rotations is None else self.rotations[index],
            None if self.poses is None else self.poses[index],
            None if self.qualities is None else self.qualities[index],
        )

    def largest(self, width: int, height: int) -> "Faces":
        """Return only the largest face, or a similarly large face that is clearly more central.

        A face is similarly large if its box has at least `SIMILAR_AREA` of the area of the largest box: the
        box of a face in profile is smaller than that of a frontal face. It is clearly more central if its
        distance to the centre of the image is smaller by at least `MIN_CENTRE_GAIN` of the side of the
        largest face: the subject of a photo is usually in its centre. Without any face the result is empty.

        Args:
            width: width of the image in pixels.
            height: height of the image in pixels.
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


def concatenate(parts: Sequence[Faces]) -> Faces:
    """Return the faces of several results, which have rotations, but no landmarks and no embeddings."""
    return Faces(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.points for part in parts]),
        rotations=np.concatenate([part.rotations for part in parts if part.rotations is not None]),
    )
