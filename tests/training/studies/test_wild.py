"""Squares, their differences, and the study's crops, tables and plot, on faces that are known."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from numpy import ndarray

from app.vision import align, boxes
from app.vision.pyramid import ImagePyramid
from training.data import batches, crops
from training.data.sources import Sample
from training.metrics import Interval
from training.studies import compact, wild


def squares(count: int, seed: int) -> ndarray:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 100, (count, 2))
    return np.concatenate([low, low + rng.uniform(50, 90, (count, 1))], axis=1).astype(np.float32)


def samples(count: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        Sample(
            f"s{i}",
            f"p{i}",
            rng.integers(0, 256, (150, 140, 3), np.uint8),
            rng.uniform(40, 100, (68, 2)).astype(np.float32),
            "ibug68",
            "train",
        )
        for i in range(count)
    ]


def higher_and_larger(label: ndarray) -> ndarray:
    """Squares higher by a tenth of the side, and twice as large."""
    side = label[:, 2:3] - label[:, :1]
    centre = (label[:, :2] + label[:, 2:]) / 2 - side * np.array([0, 0.1], np.float32)
    return np.concatenate([centre - side, centre + side], axis=1).astype(np.float32)


def test_differences_are_of_the_labels_side() -> None:
    label = squares(5, 0)
    expected = np.tile([0, -0.1, 1], (5, 1))
    np.testing.assert_allclose(wild.differences(label, higher_and_larger(label)), expected, atol=1e-5)


def test_undoing_the_mean_difference_gives_the_labels_squares_back() -> None:
    label = squares(5, 0)
    spread = wild.Spread.of(wild.differences(label, higher_and_larger(label)))
    np.testing.assert_allclose(wild.undone(higher_and_larger(label), spread), label, atol=1e-3)


def test_squares_are_moved_by_their_differences() -> None:
    label, found = squares(6, 0), squares(6, 1)
    np.testing.assert_allclose(wild.moved(label, wild.differences(label, found)), found, atol=1e-3)


def test_prepared_faces_differ_as_they_are_drawn(tmp_path: Path) -> None:
    some = samples(3)
    off = np.array([[0.1, -0.2, 0.3], [-0.1, 0.05, 0.0]], np.float32)
    wild.prepare({"train": some, "validation": some[:1], "test": []}, off, tmp_path, 0)
    faces = crops.load(tmp_path / "train.tfrecord")
    assert len(faces) == 3 * wild.DRAWS
    assert faces.side == faces.span == wild.SPAN
    label = wild.squares_of(wild.points_of(some))
    corners = np.array([[[-0.5, -0.5], [wild.SPAN - 0.5, wild.SPAN - 0.5]]], np.float32)
    cut = align.apply(align.invert(faces.transforms), np.tile(corners, (len(faces), 1, 1))) + 0.5
    found = wild.differences(np.tile(label, (wild.DRAWS, 1)), cut.reshape(-1, 4).astype(np.float32))
    which = np.abs(found[:, None] - off).max(axis=2)
    assert which.min(axis=1).max() < 1e-3
    assert set(which.argmin(axis=1)) == {0, 1}
    assert len(crops.load(tmp_path / "validation.tfrecord")) == wild.DRAWS


def test_a_photograph_of_a_later_split_is_left_out() -> None:
    some = samples(4)
    twin = replace(some[0], name="twin")
    kept = wild.without_twins({"train": [twin, some[1]], "validation": [some[2]], "test": [some[0], some[3]]})
    assert [s.name for s in kept["train"]] == ["s1"]
    assert [s.name for s in kept["test"]] == ["s0", "s3"]


def test_a_prepared_crop_shows_what_is_tested() -> None:
    some = samples(2)
    label = wild.squares_of(wild.points_of(some))
    images, unit = batches.plain(wild.upright(some, label), wild.SPAN)
    transforms = align.of_boxes(label, wild.SPAN)
    tested = np.concatenate(
        [
            align.warp(ImagePyramid(s.pixels()), t[None], wild.SPAN)
            for s, t in zip(some, transforms, strict=True)
        ]
    )
    assert np.abs(images.astype(int) - tested).mean() < 1.5
    found = align.apply(align.invert(transforms), batches.from_unit(unit, wild.SPAN))
    for sample, points in zip(some, found, strict=True):
        np.testing.assert_allclose(points, sample.points, atol=1e-2)
    assert unit.min() >= 0
    assert unit.max() <= 1


def test_errors_are_in_the_photograph() -> None:
    """A net that always answers the middle of its picture is off by the points' distance from there."""
    image = keras.Input((compact.SIZE, compact.SIZE, 3))
    zero = layers.Lambda(lambda x: 0 * x[:, :1, 0, 0])(image)
    middle = keras.Model(image, layers.Dense(136, bias_initializer=keras.initializers.Constant(0.5))(zero))
    some = samples(3)
    label = wild.squares_of(wild.points_of(some))
    label[1] = np.nan
    found = wild.errors(middle, some, label)
    centre = (label[:, :2] + label[:, 2:]) / 2 - np.float32(0.5)
    for i in (0, 2):
        points = some[i].points
        reach = np.linalg.norm(points[36] - points[45])
        assert found[i] == pytest.approx(np.linalg.norm(points - centre[i], axis=1).mean() / reach, rel=1e-3)
    assert np.isnan(found[1])


def test_report_and_plot(tmp_path: Path) -> None:
    off = wild.differences(squares(30, 0), squares(30, 1))
    spread = wild.Spread.of(off)
    row = {box: Interval(0.1, 0.09, 0.11) for box in (wild.LABELS, wild.DETECTOR, wild.MOVED)}
    recorded = {
        "served": {
            "300w test (9 faces), 68 points, end to end: mean error over the outer-eye distance": {
                "value": "4.00% (95%: 3.90 to 4.10)",
                "command": "",
                "date": "",
            }
        },
        "embedder": {},
    }
    text = wild.report(spread, {"before": row, "after": row}, recorded, 2)
    assert "| before | 10.00% (9.00 to 11.00) |" in text
    assert "| `served`, served: aligned by five points |  | 4.00% (3.90 to 4.10) |  |" in text
    assert "embedder" not in text
    assert "misses 2 faces" in text
    wild.draw(off, {"before": row, "after": row}, tmp_path / "wild.png")
    assert (tmp_path / "wild.png").read_bytes()[:4] == b"\x89PNG"


def test_squares_hold_all_points() -> None:
    some = samples(4)
    points = np.stack([s.points for s in some])
    label = wild.squares_of(points)
    assert (points >= label[:, None, :2] - 1e-3).all()
    assert (points <= label[:, None, 2:] + 1e-3).all()
    np.testing.assert_allclose(boxes.square(label), label, atol=1e-3)
