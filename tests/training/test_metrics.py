"""Error measures on faces whose error is known."""

import numpy as np
import pytest

from training import metrics


def face(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (3, 68, 2)).astype(np.float32)


def test_the_error_is_that_of_300w() -> None:
    """300-W divides the points' mean distance by that of the outer eye corners, its points 37 and 46."""
    truth = np.zeros((2, 68, 2), np.float32)
    truth[:, 37 - 1], truth[:, 46 - 1] = (30, 40), (90, 120)  # 100 apart
    truth[1, 46 - 1] = (30, 90)  # 50 apart
    found = truth.copy()
    found[0, 10] += (3, 4)  # one of 68 points is off by 5
    found[1] += (-6, 8)  # all are off by 10
    np.testing.assert_allclose(metrics.nme(found, truth, "ibug68"), [5 / 68 / 100, 10 / 50], rtol=1e-5)


def test_the_error_is_summed_by_hand() -> None:
    truth, found = face(0), face(1)
    expected = []
    for wanted, given in zip(truth.tolist(), found.tolist(), strict=True):
        apart = [((a - c) ** 2 + (b - d) ** 2) ** 0.5 for (a, b), (c, d) in zip(wanted, given, strict=True)]
        (x1, y1), (x2, y2) = wanted[36], wanted[45]
        expected.append(sum(apart) / 68 / ((x1 - x2) ** 2 + (y1 - y2) ** 2) ** 0.5)
    np.testing.assert_allclose(metrics.nme(found, truth, "ibug68"), expected, rtol=1e-5)


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


def test_fifteen_points_are_measured_over_the_outer_corners() -> None:
    truth = face(0)[:, :15]
    reach = np.linalg.norm(truth[:, 3] - truth[:, 5], axis=1)
    np.testing.assert_allclose(
        metrics.nme(truth + np.float32(3), truth, "kaggle15"), np.sqrt(18) / reach, rtol=1e-4
    )


def test_missing_corners_are_reached_from_the_centres() -> None:
    truth = face(0)[:, :15]
    centres = np.linalg.norm(truth[:, 0] - truth[:, 1], axis=1)
    whole = metrics.reach(truth, "kaggle15")
    truth[0, 3] = np.nan
    expected = [metrics.OUTER_OVER_CENTRES * centres[0], *whole[1:]]
    np.testing.assert_allclose(metrics.reach(truth, "kaggle15"), expected, rtol=1e-5)


def test_errors_by_region_are_those_of_its_points() -> None:
    truth = face(0)
    found = truth.copy()
    found[:, 48:68] += np.float32(10)
    by_region = metrics.regional(found, truth, "ibug68")
    np.testing.assert_allclose(by_region["mouth"], np.sqrt(200) / metrics.reach(truth, "ibug68"), rtol=1e-4)
    for name in ("jaw", "brows", "nose", "eyes"):
        np.testing.assert_array_equal(by_region[name], 0)


def test_a_region_without_labels_has_no_error() -> None:
    truth = face(0)[:, :15]
    truth[0, 6:10] = np.nan
    by_region = metrics.regional(truth, truth, "kaggle15")
    assert {name: len(errors) for name, errors in by_region.items()} == {
        "brows": 2,
        "nose": 3,
        "eyes": 3,
        "mouth": 3,
    }


def test_rmse_weighs_every_labelled_coordinate_alike() -> None:
    truth = face(0)[:, :15]
    truth[0, 1:] = np.nan
    found = np.nan_to_num(truth)
    found[0, 0] += np.float32(6)
    expected = np.sqrt(2 * 36 / (2 + 2 * 30))
    assert metrics.rmse(metrics.squares(found, truth)) == pytest.approx(expected, rel=1e-5)
