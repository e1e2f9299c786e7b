"""Squares around labels and detected boxes, their offsets, and the crops by them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy import ndarray

from app.vision import align, boxes
from app.vision.pyramid import ImagePyramid
from tests.training.studies.squares import samples, squares
from training.data.batches import landmarks as landmark_batches
from training.data.storage import landmark_crops
from training.studies import square_crops


def higher_and_larger(label: ndarray) -> ndarray:
    """Return squares that are higher by a tenth of the side, and twice as large."""
    side = label[:, 2:3] - label[:, :1]
    centre = (label[:, :2] + label[:, 2:]) / 2 - side * np.array([0, 0.1], np.float32)
    return np.concatenate([centre - side, centre + side], axis=1).astype(np.float32)


def test_offsets_are_in_units_of_the_label_square() -> None:
    label = squares(5, 0)
    expected = np.tile([0, -0.1, 1], (5, 1))
    np.testing.assert_allclose(
        square_crops.square_offsets(label, higher_and_larger(label)), expected, atol=1e-5
    )


def test_without_the_mean_offset_the_label_squares_remain() -> None:
    label = squares(5, 0)
    statistics = square_crops.OffsetStatistics.of(
        square_crops.square_offsets(label, higher_and_larger(label))
    )
    np.testing.assert_allclose(
        square_crops.remove_mean(higher_and_larger(label), statistics), label, atol=1e-3
    )


def test_squares_shifted_by_their_offsets_are_the_detected_squares() -> None:
    label, detected = squares(6, 0), squares(6, 1)
    np.testing.assert_allclose(
        square_crops.shift(label, square_crops.square_offsets(label, detected)), detected, atol=1e-3
    )


def test_prepared_crops_have_offsets_of_the_drawn_ones(tmp_path: Path) -> None:
    some = samples(3)
    offsets = np.array([[0.1, -0.2, 0.3], [-0.1, 0.05, 0.0]], np.float32)
    square_crops.prepare({"train": some, "validation": some[:1], "test": []}, offsets, tmp_path, 0)
    faces = landmark_crops.load(tmp_path / "train.tfrecord")
    assert len(faces) == 3 * square_crops.CROPS_PER_FACE
    assert faces.side == faces.span == square_crops.SPAN
    label = square_crops.label_squares(square_crops.labelled_points(some))
    corners = np.array([[[-0.5, -0.5], [square_crops.SPAN - 0.5, square_crops.SPAN - 0.5]]], np.float32)
    cut = align.apply(align.invert(faces.transforms), np.tile(corners, (len(faces), 1, 1))) + 0.5
    measured = square_crops.square_offsets(
        np.tile(label, (square_crops.CROPS_PER_FACE, 1)), cut.reshape(-1, 4).astype(np.float32)
    )
    which = np.abs(measured[:, None] - offsets).max(axis=2)
    assert which.min(axis=1).max() < 1e-3
    assert set(which.argmin(axis=1)) == {0, 1}
    assert len(landmark_crops.load(tmp_path / "validation.tfrecord")) == square_crops.CROPS_PER_FACE


def test_a_photo_of_a_later_split_is_left_out() -> None:
    some = samples(4)
    copy = replace(some[0], name="copy")
    kept = square_crops.without_duplicates(
        {"train": [copy, some[1]], "validation": [some[2]], "test": [some[0], some[3]]}
    )
    assert [s.name for s in kept["train"]] == ["s1"]
    assert [s.name for s in kept["test"]] == ["s0", "s3"]


def test_a_prepared_crop_equals_the_tested_crop() -> None:
    some = samples(2)
    label = square_crops.label_squares(square_crops.labelled_points(some))
    images, unit = landmark_batches.served_crops(square_crops.cut(some, label), square_crops.SPAN)
    transforms = align.of_boxes(label, square_crops.SPAN)
    tested = np.concatenate(
        [
            align.warp(ImagePyramid(s.pixels()), t[None], square_crops.SPAN)
            for s, t in zip(some, transforms, strict=True)
        ]
    )
    assert np.abs(images.astype(int) - tested).mean() < 1.5
    in_photo = align.apply(align.invert(transforms), landmark_batches.from_unit(unit, square_crops.SPAN))
    for sample, points in zip(some, in_photo, strict=True):
        np.testing.assert_allclose(points, sample.points, atol=1e-2)
    assert unit.min() >= 0
    assert unit.max() <= 1


def test_label_squares_contain_all_points() -> None:
    some = samples(4)
    points = np.stack([s.points for s in some])
    label = square_crops.label_squares(points)
    assert (points >= label[:, None, :2] - 1e-3).all()
    assert (points <= label[:, None, 2:] + 1e-3).all()
    np.testing.assert_allclose(boxes.square(label), label, atol=1e-3)


def test_a_set_of_another_seed_is_not_the_prepared_one(tmp_path: Path) -> None:
    some = samples(2)
    assert not square_crops.is_prepared(tmp_path, 0)
    square_crops.prepare(
        {"train": some, "validation": some, "test": []}, np.zeros((1, 3), np.float32), tmp_path, 0
    )
    assert square_crops.is_prepared(tmp_path, 0)
    assert not square_crops.is_prepared(tmp_path, 1)
