"""Losses of landmarks, on errors computed by hand."""

import numpy as np
import pytest
from numpy import ndarray

from training.losses.landmarks import (
    LOSSES,
    WING_CURVATURE,
    WING_WIDTH,
    mean_squared,
    pairwise_squared,
    root_mean_squared,
    wing,
)
from training.losses.tensor import Loss


@pytest.fixture
def labels() -> ndarray:
    return np.random.default_rng(0).uniform(0.2, 0.8, (4, 136)).astype(np.float32)


@pytest.mark.parametrize("loss", LOSSES.values())
def test_outputs_that_equal_the_labels_have_no_loss(loss: Loss, labels: ndarray) -> None:
    np.testing.assert_allclose(np.asarray(loss(labels, labels)), np.zeros(4), atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES.values())
def test_coordinates_without_a_label_do_not_count(loss: Loss, labels: ndarray) -> None:
    outputs = labels + np.random.default_rng(1).normal(0, 0.05, labels.shape).astype(np.float32)
    partial = labels.copy()
    partial[:, 8:] = np.nan
    np.testing.assert_allclose(loss(partial, outputs), loss(labels[:, :8], outputs[:, :8]), rtol=1e-5)


def test_mean_squared_is_the_mean_of_squares(labels: ndarray) -> None:
    np.testing.assert_allclose(np.asarray(mean_squared(labels, labels + 0.1)), 0.01, rtol=1e-4)


def test_root_mean_squared_is_that_of_all_labelled_coordinates() -> None:
    labels = np.array([[0, 0, np.nan, 0], [0, np.nan, np.nan, np.nan]], np.float32)
    outputs = np.array([[0.3, 0.4, 9, 0], [0.5, 9, 9, 9]], np.float32)
    expected = np.sqrt((0.09 + 0.16 + 0 + 0.25) / 4)
    np.testing.assert_allclose(
        np.asarray(root_mean_squared(labels, outputs)), [expected, expected], rtol=1e-5
    )


def test_pairwise_squared_ignores_a_common_shift(labels: ndarray) -> None:
    assert np.asarray(pairwise_squared(labels, labels + 0.1)).max() < 1e-6
    assert np.asarray(mean_squared(labels, labels + 0.1)).min() > 9e-3


def test_pairwise_squared_is_the_mean_over_pairs(labels: ndarray) -> None:
    outputs = labels + np.random.default_rng(2).normal(0, 0.05, labels.shape).astype(np.float32)
    error = (outputs - labels).astype(np.float64)
    pairs = (error[:, :, None] - error[:, None, :]) ** 2
    expected = pairs.sum(axis=(1, 2)) / (136 * 135)
    np.testing.assert_allclose(np.asarray(pairwise_squared(labels, outputs)), expected, rtol=1e-3)


def test_wing_is_continuous_and_linear_beyond_its_width() -> None:
    labels = np.zeros((1, 2), np.float32)
    errors = [np.full((1, 2), WING_WIDTH * k, np.float32) for k in (0.999999, 1.000001, 2, 3)]
    values = [float(wing(labels, error)[0]) for error in errors]
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    assert values[3] - values[2] == pytest.approx(WING_WIDTH, rel=1e-4)
    assert values[0] == pytest.approx(WING_WIDTH * np.log(1 + WING_WIDTH / WING_CURVATURE), rel=1e-4)
