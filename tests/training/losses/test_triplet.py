"""Mining and triplet loss on four vectors with known distances."""

from typing import get_args

import numpy as np
import pytest
from numpy import ndarray

from training.config.schema import TripletMining
from training.losses.triplet import mine, squared_distances, triplet_loss

# People 0, 0, 1, 1, and the squared distances of their images. For anchor 0 and positive 1, at 0.5,
# negative 2, at 0.6, is within the margin of 0.2, and negative 3, at 0.9, is beyond it.
PEOPLE = np.array([0, 0, 1, 1], np.float32)
DISTANCES = np.array(
    [[0.0, 0.5, 0.6, 0.9], [0.5, 0.0, 0.3, 0.4], [0.6, 0.3, 0.0, 1.0], [0.9, 0.4, 1.0, 0.0]], np.float32
)
ZEROS = np.zeros((4, 4), np.float32)


def mined(mining: TripletMining, scores: ndarray = ZEROS) -> dict[tuple[int, int], float]:
    """Return the distance of the negative for each anchor and positive that has one."""
    triplets = mine(DISTANCES, PEOPLE, scores, 0.2, mining)
    chosen, negative = np.asarray(triplets.chosen), np.asarray(triplets.negative)
    return {(int(a), int(p)): round(float(negative[a, p]), 4) for a, p in np.argwhere(chosen)}


def loss_of(people: ndarray, vectors: ndarray, mining: TripletMining) -> tuple[float, float]:
    """Return the loss, and the number of active triplets."""
    loss, active = triplet_loss(np.concatenate([people[:, None], ZEROS], axis=1), vectors, 0.2, mining)
    return float(loss), float(active)


def test_a_semi_hard_negative_is_farther_than_the_positive_and_within_the_margin() -> None:
    assert mined("semi_hard") == {(0, 1): 0.6}


def test_the_hardest_negative_is_the_nearest() -> None:
    assert mined("hardest") == {(0, 1): 0.6, (1, 0): 0.3, (2, 3): 0.3, (3, 2): 0.4}


def test_a_violating_negative_is_within_the_margin_also_if_it_is_nearer_than_the_positive() -> None:
    last = ZEROS.copy()
    last[:, [1, 3]] = 0.3
    assert mined("violating") == {(0, 1): 0.6, (1, 0): 0.3, (2, 3): 0.6, (3, 2): 0.9}
    assert mined("violating", last) == {(0, 1): 0.6, (1, 0): 0.4, (2, 3): 0.3, (3, 2): 0.4}


def test_the_scores_choose_a_random_negative() -> None:
    first, last = ZEROS.copy(), ZEROS.copy()
    first[:, [0, 2]], last[:, [1, 3]] = 0.3, 0.3
    assert mined("random", first) == {(0, 1): 0.6, (1, 0): 0.3, (2, 3): 0.6, (3, 2): 0.9}
    assert mined("random", last) == {(0, 1): 0.9, (1, 0): 0.4, (2, 3): 0.3, (3, 2): 0.4}


@pytest.mark.parametrize(
    ("mining", "losses"),
    [
        ("semi_hard", [0.5 - 0.6 + 0.2]),
        ("hardest", [0.5 - 0.6 + 0.2, 0.5 - 0.3 + 0.2, 1.0 - 0.3 + 0.2, 1.0 - 0.4 + 0.2]),
    ],
)
def test_the_loss_is_the_mean_over_the_triplets(mining: TripletMining, losses: list[float]) -> None:
    inner_products = 1 - DISTANCES.astype(np.float64) / 2
    vectors = np.linalg.cholesky(inner_products).astype(np.float32)
    np.testing.assert_allclose(squared_distances(vectors), DISTANCES, atol=1e-5)
    loss, active = loss_of(PEOPLE, vectors, mining)
    assert loss == pytest.approx(np.mean(losses), abs=1e-4)
    assert active == len(losses)


def test_triplets_beyond_the_margin_have_no_loss_and_are_not_active() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    for mining in get_args(TripletMining):
        assert loss_of(PEOPLE, vectors, mining) == (0, 0)


def test_a_batch_of_one_person_has_no_triplets() -> None:
    assert loss_of(np.zeros(4, np.float32), np.eye(4, dtype=np.float32), "hardest") == (0, 0)
