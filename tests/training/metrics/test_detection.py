"""Matching, precision, recall and average precision, on detections whose figures are known."""

import numpy as np
import pytest
from numpy import ndarray

from training.metrics.detection import (
    average_precision,
    false_positive_rate,
    false_positives_per_image,
    match,
    precision_recall,
    recall,
)

FACE = np.array([[0, 0, 10, 10]], np.float32)
AWAY = np.array([[50, 50, 60, 60]], np.float32)
COUNTED = np.array([False])


def scores(*values: float) -> ndarray:
    return np.array(values, np.float32)


def test_one_true_positive_has_an_average_precision_of_one() -> None:
    assert average_precision([match(FACE, scores(0.9), FACE, COUNTED)]) == 1


def test_a_false_positive_with_a_higher_score_halves_the_precision() -> None:
    both = np.concatenate([AWAY, FACE])
    assert average_precision([match(both, scores(0.9, 0.8), FACE, COUNTED)]) == 0.5
    assert average_precision([match(both, scores(0.8, 0.9), FACE, COUNTED)]) == 1


def test_a_second_detection_of_a_face_is_a_false_positive() -> None:
    matches = match(np.concatenate([FACE, FACE]), scores(0.9, 0.8), FACE, COUNTED)
    assert matches.hits.tolist() == [True, False]
    assert false_positives_per_image([matches]) == 1


def test_an_ignored_face_is_neither_a_hit_nor_a_miss() -> None:
    labels = np.concatenate([FACE, AWAY])
    matches = match(np.concatenate([FACE, AWAY]), scores(0.9, 0.8), labels, np.array([True, False]))
    assert matches.ignored.tolist() == [True, False]
    assert matches.faces == 1
    assert average_precision([matches]) == 1
    assert false_positives_per_image([matches]) == 0


def test_missed_faces_limit_the_recall() -> None:
    labels = np.concatenate([FACE, AWAY])
    matches = match(FACE, scores(0.9), labels, np.array([False, False]))
    _, precisions, recalls = precision_recall([matches])
    assert precisions.tolist() == [1]
    assert recalls.tolist() == [0.5]
    assert recall([matches]) == 0.5


def test_scores_are_ranked_over_all_images() -> None:
    hit = match(FACE, scores(0.6), FACE, COUNTED)
    miss = match(AWAY, scores(0.9), FACE, COUNTED)
    assert average_precision([hit, miss]) == pytest.approx(0.25)
    assert precision_recall([hit, miss])[0].tolist() == pytest.approx([0.9, 0.6])


def test_images_without_detections_and_without_faces() -> None:
    none = np.empty((0, 4), np.float32)
    assert average_precision([match(none, scores(), FACE, COUNTED)]) == 0
    without_faces = match(FACE, scores(0.5), none, np.empty(0, bool))
    assert without_faces.hits.tolist() == [False]
    assert false_positives_per_image([without_faces]) == 1
    assert recall([without_faces]) == 0


def test_the_false_positive_rate_is_that_of_the_threshold_which_keeps_enough_positives() -> None:
    positive = np.array([True, False, True, False, False, True, False, True])
    falling = scores(0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
    assert [false_positive_rate(falling, positive, r) for r in (0.25, 0.5, 0.51, 0.75, 1)] == [
        0,
        0.25,
        0.75,
        0.75,
        1,
    ]
    mixed = np.array([6, 2, 7, 0, 4, 1, 5, 3])
    assert false_positive_rate(falling[mixed], positive[mixed], 0.75) == 0.75


def test_a_negative_with_the_score_of_the_threshold_is_a_false_positive() -> None:
    assert false_positive_rate(scores(0.5, 0.5, 0.1), np.array([True, False, False]), 0.95) == 0.5


def test_without_positives_the_false_positive_rate_is_one_and_without_negatives_zero() -> None:
    assert false_positive_rate(scores(0.5, 0.1), np.array([False, False]), 0.95) == 1
    assert false_positive_rate(scores(0.5, 0.1), np.array([True, True]), 0.95) == 0
