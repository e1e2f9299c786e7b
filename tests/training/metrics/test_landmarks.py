"""Metrics of landmarks, on faces whose error is known."""

import numpy as np
import pytest

from training.metrics import landmarks


def face(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (3, 68, 2)).astype(np.float32)


def test_the_nme_is_that_of_300w() -> None:
    """300-W divides the mean distance of the points by that of the outer eye corners, points 37 and 46."""
    labels = np.zeros((2, 68, 2), np.float32)
    labels[:, 37 - 1], labels[:, 46 - 1] = (30, 40), (90, 120)  # 100 apart
    labels[1, 46 - 1] = (30, 90)  # 50 apart
    predicted = labels.copy()
    predicted[0, 10] += (3, 4)  # one of 68 points is off by 5
    predicted[1] += (-6, 8)  # all are off by 10
    np.testing.assert_allclose(landmarks.nme(predicted, labels, "ibug68"), [5 / 68 / 100, 10 / 50], rtol=1e-5)


def test_the_nme_equals_a_sum_by_hand() -> None:
    labels, predicted = face(0), face(1)
    expected = []
    for label, point in zip(labels.tolist(), predicted.tolist(), strict=True):
        distances = [
            ((a - c) ** 2 + (b - d) ** 2) ** 0.5 for (a, b), (c, d) in zip(label, point, strict=True)
        ]
        (x1, y1), (x2, y2) = label[36], label[45]
        expected.append(sum(distances) / 68 / ((x1 - x2) ** 2 + (y1 - y2) ** 2) ** 0.5)
    np.testing.assert_allclose(landmarks.nme(predicted, labels, "ibug68"), expected, rtol=1e-5)


def test_points_without_a_label_are_left_out() -> None:
    labels, predicted = face(0), face(1)
    labels[:, 5] = np.nan
    kept = np.delete(np.arange(68), 5)
    expected = np.linalg.norm(predicted - labels, axis=2)[:, kept].mean(axis=1)
    interocular = np.linalg.norm(labels[:, 36] - labels[:, 45], axis=1)
    np.testing.assert_allclose(landmarks.nme(predicted, labels, "ibug68"), expected / interocular, rtol=1e-5)


def test_figures_of_known_errors() -> None:
    errors = np.array([0.0, 0.05, 0.05, 0.2], np.float32)
    figures = {name: interval.value for name, interval in landmarks.summary(errors, rounds=200).items()}
    assert figures == pytest.approx({"nme": 0.075, "median_nme": 0.05, "failure_rate": 0.25, "auc": 0.5})


def test_intervals_contain_the_value_and_shrink_with_more_faces() -> None:
    rng = np.random.default_rng(0)
    few, many = (landmarks.summary(rng.gamma(4, 0.01, n), rounds=300)["nme"] for n in (20, 2000))
    assert few.low < few.value < few.high
    assert many.high - many.low < (few.high - few.low) / 3


def test_the_nme_of_fifteen_points_is_divided_by_the_distance_of_the_outer_corners() -> None:
    labels = face(0)[:, :15]
    interocular = np.linalg.norm(labels[:, 3] - labels[:, 5], axis=1)
    np.testing.assert_allclose(
        landmarks.nme(labels + np.float32(3), labels, "kaggle15"), np.sqrt(18) / interocular, rtol=1e-4
    )


def test_without_corners_the_distance_is_estimated_from_the_eye_centres() -> None:
    labels = face(0)[:, :15]
    centres = np.linalg.norm(labels[:, 0] - labels[:, 1], axis=1)
    whole = landmarks.interocular_distance(labels, "kaggle15")
    labels[0, 3] = np.nan
    expected = [landmarks.CORNERS_OVER_CENTRES * centres[0], *whole[1:]]
    np.testing.assert_allclose(landmarks.interocular_distance(labels, "kaggle15"), expected, rtol=1e-5)


def test_the_nme_of_a_region_is_that_of_its_points() -> None:
    labels = face(0)
    predicted = labels.copy()
    predicted[:, 48:68] += np.float32(10)
    by_region = landmarks.nme_by_region(predicted, labels, "ibug68")
    np.testing.assert_allclose(
        by_region["mouth"], np.sqrt(200) / landmarks.interocular_distance(labels, "ibug68"), rtol=1e-4
    )
    for name in ("jaw", "brows", "nose", "eyes"):
        np.testing.assert_array_equal(by_region[name], 0)


def test_a_face_without_labels_in_a_region_is_left_out_there() -> None:
    labels = face(0)[:, :15]
    labels[0, 6:10] = np.nan
    by_region = landmarks.nme_by_region(labels, labels, "kaggle15")
    assert {name: len(errors) for name, errors in by_region.items()} == {
        "brows": 2,
        "nose": 3,
        "eyes": 3,
        "mouth": 3,
    }


def test_the_rmse_weights_all_labelled_coordinates_equally() -> None:
    labels = face(0)[:, :15]
    labels[0, 1:] = np.nan
    predicted = np.nan_to_num(labels)
    predicted[0, 0] += np.float32(6)
    expected = np.sqrt(2 * 36 / (2 + 2 * 30))
    assert landmarks.rmse(landmarks.squared_errors(predicted, labels)) == pytest.approx(expected, rel=1e-5)
