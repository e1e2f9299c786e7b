"""What travels between the stages: arrays, never lists of objects; no face is ordinary."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision.boxes import area

AS_LARGE = 0.7
NEARER = 0.25
"""When another face is taken for the largest: see `Faces.largest`. Chosen on LFW dev pairs."""


@dataclass(frozen=True)
class Faces:
    """The faces of one picture, by falling score. Points in the order of `points.FIVE`."""

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    points: Float32[ndarray, "n 5 2"]
    landmarks: Float32[ndarray, "n k 2"] | None = None
    embeddings: Float32[ndarray, "n d"] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, index: ndarray) -> "Faces":
        """The faces at `index`."""
        return Faces(
            self.boxes[index],
            self.scores[index],
            self.points[index],
            None if self.landmarks is None else self.landmarks[index],
            None if self.embeddings is None else self.embeddings[index],
        )

    def largest(self, width: int, height: int) -> "Faces":
        """The largest face, alone; none stays none. Of faces about as large, one clearly nearer the middle.

        About as large is at least `AS_LARGE` of the largest box's area: a box is that much smaller for a
        face turned away, and of two people the one in the middle is the one meant. Clearly nearer is by at
        least `NEARER` of the largest face's side.
        """
        if len(self) == 0:
            return self
        areas = area(self.boxes)
        first = int(areas.argmax())
        off = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2 - np.array([width, height], np.float32) / 2
        distance = np.where(areas >= AS_LARGE * areas[first], np.linalg.norm(off, axis=1), np.inf)
        middle = int(distance.argmin())
        nearer = distance[first] - distance[middle] >= NEARER * np.sqrt(areas[first])
        return self.take(np.array([middle if nearer else first]))


NO_FACES = Faces(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))


@dataclass
class Timing:
    """Milliseconds spent by stage, in the order the stages first ran."""

    ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time of the block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = self.ms.get(name, 0.0) + (time.perf_counter() - start) * 1e3
