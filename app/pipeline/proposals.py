"""Candidates of the proposal stage, and what both kinds of proposal nets share."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision.pyramid import ImagePyramid
from app.vision.scores import logit


@dataclass(frozen=True)
class Candidates:
    """Boxes passed from one stage to the next, with their scores and the logits of each net so far."""

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    logits: Float32[ndarray, "n nets"]

    def take(self, index: ndarray) -> "Candidates":
        """Return the candidates at `index`."""
        return Candidates(self.boxes[index], self.scores[index], self.logits[index])

    @staticmethod
    def of_first_net(boxes: Float32[ndarray, "n 4"], scores: Float32[ndarray, " n"]) -> "Candidates":
        """Return candidates that only the proposal net has scored."""
        return Candidates(boxes, scores, logit(scores)[:, None])


@runtime_checkable
class Proposer(Protocol):
    """A proposal net with its pyramid, tiling and NMS."""

    def propose(self, picture: ImagePyramid, min_face: float) -> Candidates:
        """Return candidates of `min_face` pixels or more, by descending score."""


def no_candidates() -> Candidates:
    """Return zero candidates."""
    return Candidates.of_first_net(np.empty((0, 4), np.float32), np.empty(0, np.float32))


def top_scores(scores: ndarray, most: int) -> ndarray:
    """Return the indices of the highest scores, at most so many, in no particular order."""
    if len(scores) <= most:
        return np.arange(len(scores))
    return np.argpartition(-scores, most)[:most]
