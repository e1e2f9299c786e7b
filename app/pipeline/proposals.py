"""Candidates, the boxes that the stages of a detector pass on, and the protocol of the proposal stage."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision.pyramid import ImagePyramid
from app.vision.scores import logit


@dataclass(frozen=True)
class Candidates:
    """Candidate boxes for faces.

    Attributes:
        boxes: `x1, y1, x2, y2` in pixels of the image, half-open.
        scores: scores of the last stage, 0 to 1.
        logits: the logits of each net so far.
    """

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    logits: Float32[ndarray, "n nets"]

    def take(self, index: ndarray) -> "Candidates":
        """Return the candidates at these indices, in their order."""
        return Candidates(self.boxes[index], self.scores[index], self.logits[index])

    @staticmethod
    def of_first_net(boxes: Float32[ndarray, "n 4"], scores: Float32[ndarray, " n"]) -> "Candidates":
        """Return the candidates of a proposal net, from their boxes and scores."""
        return Candidates(boxes, scores, logit(scores)[:, None])


@dataclass(frozen=True)
class Search:
    """What the proposal stage searches for.

    Attributes:
        min_face: side of the smallest face in pixels.
        max_faces: number of faces that the detection may return; no limit if None.
        max_pixels: maximum number of pixels of the largest scale; that of the spec if None.
    """

    min_face: float
    max_faces: int | None = None
    max_pixels: float | None = None


@runtime_checkable
class Proposer(Protocol):
    """A proposal net with its pyramid, tiling and NMS."""

    def propose(self, picture: ImagePyramid, search: Search) -> Candidates:
        """Return candidates, by descending score."""


@dataclass(frozen=True)
class CandidateLimit:
    """The number of candidates that a stage passes on.

    Noise has many uncertain candidates, and a crowd many certain ones. So there is a maximum for all
    candidates, and beyond it certain candidates pass, as many as the faces that may be returned need.

    Attributes:
        most: maximum number of candidates of any score.
        certain: minimum score of the candidates beyond it.
        per_face: maximum number of certain candidates per face that may be returned.
    """

    most: int
    certain: float
    per_face: int

    def count(self, scores: Float32[ndarray, " n"], max_faces: int | None) -> int:
        """Return how many of the candidates with the highest scores pass.

        Args:
            scores: scores of all candidates.
            max_faces: number of faces that the detection may return; no limit if None.
        """
        certain = int((scores >= self.certain).sum())
        if max_faces is not None:
            certain = min(certain, self.per_face * max_faces)
        return max(self.most, certain)

    def times(self, factor: int) -> "CandidateLimit":
        """Return the limit of the boxes before NMS, which are several per candidate."""
        return CandidateLimit(self.most * factor, self.certain, self.per_face * factor)


def no_candidates() -> Candidates:
    """Return an empty set of candidates."""
    return Candidates.of_first_net(np.empty((0, 4), np.float32), np.empty(0, np.float32))


def top_scores(scores: ndarray, most: int) -> ndarray:
    """Return the indices of the `most` highest scores, or of all scores if there are fewer, unsorted."""
    if len(scores) <= most:
        return np.arange(len(scores))
    return np.argpartition(-scores, most)[:most]
