"""Candidates of the proposal stage, and what both kinds of proposal nets share."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision.pyramid import ImagePyramid, Level
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


def level_ratios(sizes: list[Level]) -> Float32[ndarray, "levels 4"]:
    """Return the factors that take a box from each level to the picture."""
    return np.array([(*size.ratio, *size.ratio) for size in sizes], np.float32)


def group_by_shape(shapes: list[tuple[int, int]], batch: int) -> Iterator[list[int]]:
    """Yield the indices of canvases of one shape, at most `batch` per call, so that memory is bounded."""
    for shape in sorted(set(shapes)):
        same = [index for index, s in enumerate(shapes) if s == shape]
        yield from (same[i : i + batch] for i in range(0, len(same), batch))


def top_scores(scores: ndarray, most: int) -> ndarray:
    """Return the indices of the highest scores, at most so many, in no particular order."""
    if len(scores) <= most:
        return np.arange(len(scores))
    return np.argpartition(-scores, most)[:most]
