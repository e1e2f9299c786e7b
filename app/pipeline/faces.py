"""What travels between the stages: arrays, never lists of objects; no face is ordinary."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.runtime.ticket import CURRENT
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


QUEUE, TOTAL = "queue", "total"


class Timing:
    """Milliseconds spent by stage, in the order the stages first ran.

    With a ticket at hand (`app.runtime.ticket.CURRENT`), `queue` is what was spent waiting for a worker and
    for the device, the stages are without it, and a stage is not begun once the work is not wanted any more.
    """

    def __init__(self) -> None:
        self._ticket = CURRENT.get()
        self._begun = time.perf_counter() if self._ticket is None else self._ticket.begun
        self.ms: dict[str, float] = {}
        if self._ticket is not None:
            self._add(QUEUE, self._ticket.waited)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time of the block to a stage. Raises what the ticket's check does."""
        ticket = self._ticket
        if ticket is not None:
            ticket.check()
        start, before = time.perf_counter(), 0.0 if ticket is None else ticket.waited
        try:
            yield
        finally:
            waited = 0.0 if ticket is None else ticket.waited - before
            self._add(name, time.perf_counter() - start - waited)
            if waited:
                self._add(QUEUE, waited)

    def finish(self, faces: int) -> dict[str, float]:
        """The stages, and `total` since the work was handed in; whoever listens is told, of the faces too."""
        self.ms[TOTAL] = (time.perf_counter() - self._begun) * 1e3
        if self._ticket is not None:
            self._ticket.listener.faces(faces)
            for name, ms in self.ms.items():
                self._ticket.listener.stage(name, ms / 1e3)
        return self.ms

    def _add(self, name: str, seconds: float) -> None:
        self.ms[name] = self.ms.get(name, 0.0) + seconds * 1e3
