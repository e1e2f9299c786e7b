"""Miners and triplet loss on four vectors whose distances are known."""

from typing import get_args

import numpy as np
import pytest
from numpy import ndarray

from training.config import Mining
from training.mining import mine, squared_distances, triplet

# Persons 0, 0, 1, 1; squared distances between pictures. Of anchor 0 and positive 1, at 0.5: stranger 2, at
# 0.6, is within the margin of 0.2, stranger 3, at 0.9, beyond it.
LABELS = np.array([0, 0, 1, 1], np.float32)
DISTANCES = np.array(
    [[0.0, 0.5, 0.6, 0.9], [0.5, 0.0, 0.3, 0.4], [0.6, 0.3, 0.0, 1.0], [0.9, 0.4, 1.0, 0.0]], np.float32
)
ZEROS = np.zeros((4, 4), np.float32)


def chosen(how: Mining, scores: ndarray = ZEROS) -> dict[tuple[int, int], float]:
    """The negative's distance for each anchor and positive that has one."""
    found = mine(DISTANCES, LABELS, scores, 0.2, how)
    here, far = np.asarray(found.chosen), np.asarray(found.negative)
    return {(int(a), int(p)): round(float(far[a, p]), 4) for a, p in np.argwhere(here)}


def test_semi_hard_is_farther_than_the_positive_and_within_the_margin() -> None:
    assert chosen("semi_hard") == {(0, 1): 0.6}


def test_hardest_is_the_nearest_stranger() -> None:
    assert chosen("hardest") == {(0, 1): 0.6, (1, 0): 0.3, (2, 3): 0.3, (3, 2): 0.4}


def test_random_is_any_stranger_and_goes_by_the_scores() -> None:
    first, last = ZEROS.copy(), ZEROS.copy()
    first[:, [0, 2]], last[:, [1, 3]] = 0.3, 0.3
    assert chosen("random", first) == {(0, 1): 0.6, (1, 0): 0.3, (2, 3): 0.6, (3, 2): 0.9}
    assert chosen("random", last) == {(0, 1): 0.9, (1, 0): 0.4, (2, 3): 0.3, (3, 2): 0.4}


@pytest.mark.parametrize(
    ("how", "losses"),
    [
        ("semi_hard", [0.5 - 0.6 + 0.2]),
        ("hardest", [0.5 - 0.6 + 0.2, 0.5 - 0.3 + 0.2, 1.0 - 0.3 + 0.2, 1.0 - 0.4 + 0.2]),
    ],
)
def test_the_loss_is_the_mean_over_the_triplets(how: Mining, losses: list[float]) -> None:
    vectors = np.linalg.cholesky(gram()).astype(np.float32)
    np.testing.assert_allclose(squared_distances(vectors), DISTANCES, atol=1e-5)
    loss, active = triplet(LABELS, vectors, ZEROS, 0.2, how)
    assert float(loss) == pytest.approx(np.mean(losses), abs=1e-4)
    assert float(active) == len(losses)


def test_triplets_that_are_learned_cost_nothing_and_are_not_active() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    for how in get_args(Mining):
        loss, active = triplet(LABELS, vectors, ZEROS, 0.2, how)
        assert (float(loss), float(active)) == (0, 0)


def test_a_batch_of_one_person_has_no_triplets() -> None:
    vectors = np.eye(4, dtype=np.float32)
    loss, active = triplet(np.zeros(4, np.float32), vectors, ZEROS, 0.2, "hardest")
    assert (float(loss), float(active)) == (0, 0)


def gram() -> ndarray:
    """The inner products of unit vectors at those distances."""
    return 1 - DISTANCES.astype(np.float64) / 2
