"""How many candidates a stage passes on."""

import numpy as np
import pytest
from jaxtyping import Float32
from numpy import ndarray

from app.pipeline.proposals import CandidateLimit

LIMIT = CandidateLimit(most=150, certain=0.5, per_face=2)


def scores(certain: int, uncertain: int) -> Float32[ndarray, " n"]:
    return np.repeat(np.array([0.9, 0.2], np.float32), [certain, uncertain])


@pytest.mark.parametrize(
    ("certain", "uncertain", "max_faces", "count"),
    [
        (0, 5000, 1000, 150),  # noise
        (99, 5000, 1000, 150),  # an ordinary image
        (400, 5000, 1000, 400),  # a crowd
        (400, 0, 1000, 400),
        (400, 0, None, 400),
        (400, 0, 100, 200),  # the caller wants 100 faces
        (400, 0, 10, 150),
        (5000, 0, 1000, 2000),
    ],
)
def test_certain_candidates_pass_beyond_the_maximum(
    certain: int, uncertain: int, max_faces: int | None, count: int
) -> None:
    assert LIMIT.count(scores(certain, uncertain), max_faces) == count


def test_there_are_more_boxes_before_nms() -> None:
    assert LIMIT.times(8).count(scores(5000, 0), 300) == 4800
    assert LIMIT.times(8).count(scores(0, 5000), 300) == 1200
