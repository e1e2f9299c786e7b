"""Losses on errors whose answer is known."""

import numpy as np
import pytest
from numpy import ndarray

from training.losses import (
    LOSSES,
    WING_CURVATURE,
    WING_WIDTH,
    Loss,
    mean_squared,
    pairwise_squared,
    root_mean_squared,
    wing,
)


@pytest.fixture
def truth() -> ndarray:
    return np.random.default_rng(0).uniform(0.2, 0.8, (4, 136)).astype(np.float32)


@pytest.mark.parametrize("loss", LOSSES.values())
def test_no_error_costs_nothing(loss: Loss, truth: ndarray) -> None:
    np.testing.assert_allclose(np.asarray(loss(truth, truth)), np.zeros(4), atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES.values())
def test_coordinates_without_a_label_do_not_count(loss: Loss, truth: ndarray) -> None:
    found = truth + np.random.default_rng(1).normal(0, 0.05, truth.shape).astype(np.float32)
    few = truth.copy()
    few[:, 8:] = np.nan
    np.testing.assert_allclose(loss(few, found), loss(truth[:, :8], found[:, :8]), rtol=1e-5)


def test_mean_squared_is_the_mean_of_squares(truth: ndarray) -> None:
    np.testing.assert_allclose(np.asarray(mean_squared(truth, truth + 0.1)), 0.01, rtol=1e-4)


def test_root_mean_squared_is_that_of_all_labelled_coordinates() -> None:
    truth = np.array([[0, 0, np.nan, 0], [0, np.nan, np.nan, np.nan]], np.float32)
    found = np.array([[0.3, 0.4, 9, 0], [0.5, 9, 9, 9]], np.float32)
    expected = np.sqrt((0.09 + 0.16 + 0 + 0.25) / 4)
    np.testing.assert_allclose(np.asarray(root_mean_squared(truth, found)), [expected, expected], rtol=1e-5)


def test_pairwise_squared_is_blind_to_a_common_shift(truth: ndarray) -> None:
    assert np.asarray(pairwise_squared(truth, truth + 0.1)).max() < 1e-6
    assert np.asarray(mean_squared(truth, truth + 0.1)).min() > 9e-3


def test_pairwise_squared_is_the_mean_over_pairs(truth: ndarray) -> None:
    found = truth + np.random.default_rng(2).normal(0, 0.05, truth.shape).astype(np.float32)
    error = (found - truth).astype(np.float64)
    pairs = (error[:, :, None] - error[:, None, :]) ** 2
    expected = pairs.sum(axis=(1, 2)) / (136 * 135)
    np.testing.assert_allclose(np.asarray(pairwise_squared(truth, found)), expected, rtol=1e-3)


def test_wing_is_continuous_and_straight_beyond_its_width() -> None:
    truth = np.zeros((1, 2), np.float32)
    errors = [np.full((1, 2), WING_WIDTH * k, np.float32) for k in (0.999999, 1.000001, 2, 3)]
    at = [float(wing(truth, error)[0]) for error in errors]
    assert at[0] == pytest.approx(at[1], rel=1e-4)
    assert at[3] - at[2] == pytest.approx(WING_WIDTH, rel=1e-4)
    assert at[0] == pytest.approx(WING_WIDTH * np.log(1 + WING_WIDTH / WING_CURVATURE), rel=1e-4)
