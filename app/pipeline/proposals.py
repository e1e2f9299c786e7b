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


@runtime_checkable
class Proposer(Protocol):
    """A proposal net with its pyramid, tiling and NMS."""

    def propose(self, picture: ImagePyramid, min_face: float) -> Candidates:
        """Return candidates, by descending score.

        Args:
            picture: the image.
            min_face: side of the smallest face in pixels.
        """


def no_candidates() -> Candidates:
    """Return an empty set of candidates."""
    return Candidates.of_first_net(np.empty((0, 4), np.float32), np.empty(0, np.float32))


def top_scores(scores: ndarray, most: int) -> ndarray:
    """Return the indices of the `most` highest scores, or of all scores if there are fewer, unsorted."""
    if len(scores) <= most:
        return np.arange(len(scores))
    return np.argpartition(-scores, most)[:most]
