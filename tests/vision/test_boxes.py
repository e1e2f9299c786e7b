from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy import ndarray

from app.vision import boxes

coordinates = st.floats(-1000, 1000, width=32)


@st.composite
def some_boxes(draw: st.DrawFn, least: int = 0, most: int = 30) -> ndarray:
    n = draw(st.integers(least, most))
    corner = draw(hnp.arrays(np.float32, (n, 2), elements=coordinates))
    side = draw(hnp.arrays(np.float32, (n, 2), elements=st.floats(1, 500, width=32)))
    return np.concatenate([corner, corner + side], axis=1)


@st.composite
def scored_boxes(draw: st.DrawFn) -> tuple[ndarray, ndarray]:
    found = draw(some_boxes())
    scores = draw(hnp.arrays(np.float32, len(found), elements=st.floats(0, 1, width=32), unique=True))
    return found, scores


def greedy(found: ndarray, scores: ndarray, threshold: float, metric: boxes.Metric) -> list[int]:
    """The textbook loop that the vectorised forms must equal."""
    kept: list[int] = []
    overlaps = boxes.overlap(found, found, metric)
    for i in np.argsort(-scores, kind="stable"):
        if all(overlaps[i, j] <= threshold for j in kept):
            kept.append(int(i))
    return kept


def test_iou_of_known_boxes() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [2, 2, 4, 4]], np.float32)
    assert boxes.iou(a, b) == pytest.approx(np.array([[1, 1 / 3, 0, 0.04]]))
    assert boxes.overlap(a, b, "iom") == pytest.approx(np.array([[1, 0.5, 0, 1]]))


def test_overlap_of_a_box_without_area_is_zero() -> None:
    flat = np.array([[5, 5, 5, 9]], np.float32)
    assert boxes.iou(flat, flat)[0, 0] == 0


@given(scored_boxes(), st.sampled_from(["iou", "iom"]), st.floats(0.1, 0.9))
def test_nms_is_the_greedy_loop(
    scored: tuple[ndarray, ndarray], metric: boxes.Metric, threshold: float
) -> None:
    found, scores = scored
    overlaps = boxes.overlap(found, found, metric)
    if np.any(np.abs(overlaps - threshold) < 1e-4):
        return  # on the threshold the two may round apart
    assert boxes.nms(found, scores, threshold, metric).tolist() == greedy(found, scores, threshold, metric)


@given(scored_boxes(), st.floats(0.1, 0.9))
def test_nms_survivors_never_overlap_above_the_threshold(
    scored: tuple[ndarray, ndarray], threshold: float
) -> None:
    found, scores = scored
    kept = found[boxes.nms(found, scores, threshold, "iom")]
    overlaps = boxes.overlap(kept, kept, "iom")
    np.fill_diagonal(overlaps, 0)
    assert np.all(overlaps <= threshold)


@pytest.mark.parametrize("metric", ["iou", "iom"])
def test_nms_keeps_the_best_of_equal_boxes_and_takes_none(metric: boxes.Metric) -> None:
    same = np.tile(np.array([[0, 0, 10, 10]], np.float32), (3, 1))
    assert boxes.nms(same, np.array([0.5, 0.9, 0.7], np.float32), 0.5, metric).tolist() == [1]
    assert boxes.nms(same[:0], np.empty(0, np.float32), 0.5, metric).shape == (0,)


@given(some_boxes(least=1), st.data())
def test_offsets_round_trip(found: ndarray, data: st.DataObject) -> None:
    targets = data.draw(some_boxes(least=len(found), most=len(found)))
    back = boxes.apply_offsets(found, boxes.offsets_to(found, targets))
    assert back == pytest.approx(targets, abs=0.05)


@given(some_boxes())
def test_squares_hold_their_boxes_and_their_centres(found: ndarray) -> None:
    squares = boxes.square(found)
    side = squares[:, 2:] - squares[:, :2]
    assert side[:, 0] == pytest.approx(side[:, 1], abs=1e-2)
    assert (squares[:, :2] + squares[:, 2:]) / 2 == pytest.approx((found[:, :2] + found[:, 2:]) / 2, abs=1e-2)
    assert np.all(squares[:, :2] <= found[:, :2] + 1e-2)
    assert np.all(squares[:, 2:] >= found[:, 2:] - 1e-2)


def test_clip_cuts_to_the_picture() -> None:
    found = np.array([[-5, 3, 50, 60]], np.float32)
    assert boxes.clip(found, 40, 30).tolist() == [[0, 3, 40, 30]]


def test_a_box_goes_part_of_the_way() -> None:
    found, others = np.array([[0, 0, 10, 10]], np.float32), np.array([[10, 0, 30, 20]], np.float32)
    assert boxes.interpolate(found, others, 0.25).tolist() == [[2.5, 0, 15, 12.5]]
    assert boxes.interpolate(found, others, 0).tolist() == found.tolist()
    assert boxes.interpolate(found, others, 1).tolist() == others.tolist()


def test_votes_are_counted_in_blocks() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (200, 2)).astype(np.float32)
    found = np.concatenate([corners, corners + rng.uniform(10, 40, (200, 2)).astype(np.float32)], axis=1)
    whole = boxes.vote(found[:50], found, 0.3)
    with patch.object(boxes, "_BLOCK", 700), patch.object(boxes, "iou", wraps=boxes.iou) as iou:
        assert boxes.vote(found[:50], found, 0.3) == pytest.approx(whole)
    assert {len(call.args[0]) for call in iou.call_args_list} == {3, 2}


def test_votes_count_those_that_overlap_enough() -> None:
    near = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]], np.float32)
    assert boxes.vote(near[:1], near, 0.5).tolist() == [[1, 0, 11, 10]]
    assert boxes.vote(near[:1], near, 0.7).tolist() == [[0, 0, 10, 10]]
    assert boxes.vote(near[:1], near[2:], 0.5).tolist() == [[0, 0, 10, 10]]
    assert boxes.vote(near[:0], near, 0.5).shape == (0, 4)
