"""Error measures on faces whose error is known."""

import numpy as np
import pytest

from app.vision import points
from training import metrics


def face(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (3, 68, 2)).astype(np.float32)


def test_the_error_is_that_of_300w() -> None:
    truth, found = face(0), face(1)
    np.testing.assert_allclose(metrics.nme(found, truth, "ibug68"), points.nme(found, truth), rtol=1e-5)


def test_points_without_a_label_do_not_count() -> None:
    truth, found = face(0), face(1)
    truth[:, 5] = np.nan
    kept = np.delete(np.arange(68), 5)
    expected = np.linalg.norm(found - truth, axis=2)[:, kept].mean(axis=1)
    reach = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
    np.testing.assert_allclose(metrics.nme(found, truth, "ibug68"), expected / reach, rtol=1e-5)


def test_measures_of_known_errors() -> None:
    errors = np.array([0.0, 0.05, 0.05, 0.2], np.float32)
    found = {name: interval.value for name, interval in metrics.summary(errors, rounds=200).items()}
    assert found == pytest.approx({"mean": 0.075, "median": 0.05, "share_above_10%": 0.25, "auc_at_10%": 0.5})


def test_intervals_hold_the_value_and_narrow_with_faces() -> None:
    rng = np.random.default_rng(0)
    few, many = (metrics.summary(rng.gamma(4, 0.01, n), rounds=300)["mean"] for n in (20, 2000))
    assert few.low < few.value < few.high
    assert many.high - many.low < (few.high - few.low) / 3
