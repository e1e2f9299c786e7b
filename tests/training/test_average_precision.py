import numpy as np
import pytest
from numpy import ndarray

from training.average_precision import average_precision, curve, match

FACE = np.array([[0, 0, 10, 10]], np.float32)
AWAY = np.array([[50, 50, 60, 60]], np.float32)
WANTED = np.array([False])


def scores(*values: float) -> ndarray:
    return np.array(values, np.float32)


def test_one_right_detection_is_all_there_is() -> None:
    assert average_precision([match(FACE, scores(0.9), FACE, WANTED)]) == 1


def test_a_better_scored_false_alarm_halves_the_precision() -> None:
    both = np.concatenate([AWAY, FACE])
    assert average_precision([match(both, scores(0.9, 0.8), FACE, WANTED)]) == 0.5
    assert average_precision([match(both, scores(0.8, 0.9), FACE, WANTED)]) == 1


def test_a_second_detection_of_a_face_is_a_false_alarm() -> None:
    found = match(np.concatenate([FACE, FACE]), scores(0.9, 0.8), FACE, WANTED)
    assert found.hit.tolist() == [True, False]


def test_an_ignored_face_counts_neither_way() -> None:
    truth = np.concatenate([FACE, AWAY])
    found = match(np.concatenate([FACE, AWAY]), scores(0.9, 0.8), truth, np.array([True, False]))
    assert found.ignored.tolist() == [True, False]
    assert found.wanted == 1
    assert average_precision([found]) == 1


def test_missed_faces_bound_the_recall() -> None:
    truth = np.concatenate([FACE, AWAY])
    _, precision, recall = curve([match(FACE, scores(0.9), truth, np.array([False, False]))])
    assert precision.tolist() == [1]
    assert recall.tolist() == [0.5]


def test_scores_are_ranked_over_all_pictures() -> None:
    good = match(FACE, scores(0.6), FACE, WANTED)
    bad = match(AWAY, scores(0.9), FACE, WANTED)
    assert average_precision([good, bad]) == pytest.approx(0.25)


def test_no_detections_and_no_faces_are_ordinary() -> None:
    none = np.empty((0, 4), np.float32)
    assert average_precision([match(none, scores(), FACE, WANTED)]) == 0
    assert match(FACE, scores(0.5), none, np.empty(0, bool)).hit.tolist() == [False]
