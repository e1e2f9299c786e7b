"""Crops by a detector that always answers the same, and photographs that stand in the data twice."""

from collections.abc import Mapping

import cv2
import numpy as np
import pytest
from numpy import ndarray

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import NO_FACES, Faces
from app.runtime.timing import Timing
from app.vision import align, points
from app.vision.pyramid import ImagePyramid
from tests.fakes import FIVE_IN_BOX
from training import portraits
from training.data import crops, duplicates, kaggle, prepare
from training.data.batches import plain
from training.data.sources import Sample, Split

SHAPE = prepare.CropShape(span=40, margin=1.5)


class Finds(Detector):
    """A detector that finds the given faces, whatever the picture, and in a box the fakes' five points."""

    def __init__(self, faces: Faces) -> None:
        self.faces = faces

    def detect(self, picture: ImagePyramid, options: DetectOptions, timing: Timing) -> Faces:
        return self.faces

    def locate(self, picture: ImagePyramid, given: ndarray, timing: Timing) -> Faces:
        side = given[:, None, 2:] - given[:, None, :2]
        five = given[:, None, :2] + FIVE_IN_BOX * side - np.float32(0.5)
        return Faces(given, np.full(len(given), 0.1, np.float32), five.astype(np.float32))


def texture(seed: int, side: int = 160) -> ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)


def sample(seed: int = 0) -> Sample:
    face = np.random.default_rng(seed).uniform(50, 110, (68, 2)).astype(np.float32)
    five = align.template("face", 90) + np.float32(35)
    parts: tuple[slice | int, ...] = (slice(36, 42), slice(42, 48), 30, 48, 54)
    for where, point in zip(parts, five, strict=True):
        face[where] = point
    return Sample(f"s/{seed}", f"p{seed}", texture(seed), face, "ibug68", "train")


def found(one: Sample, offset: float = 0.0) -> Faces:
    box = np.concatenate([one.points.min(axis=0), one.points.max(axis=0)])[None]
    five = points.five_of_ibug68(one.points[None]) + np.float32(offset)
    return Faces(box, np.ones(1, np.float32), five)


def aligned(five: ndarray) -> ndarray:
    """The transforms that take five points to the template in the middle of `SHAPE`'s crop."""
    return align.umeyama(five, align.template("face", 40) + np.float32(10))


def test_a_found_face_is_aligned_by_the_detectors_points() -> None:
    one = sample()
    cut = prepare.cut(one, Finds(found(one, offset=2)), SHAPE)
    assert cut.detected
    expected = aligned(points.five_of_ibug68(one.points[None]) + 2)
    np.testing.assert_allclose(cut.transform, expected[0], atol=1e-4)
    np.testing.assert_allclose(cut.points, align.apply(expected, one.points[None])[0], atol=1e-3)


def test_a_missed_face_is_aligned_by_its_labels() -> None:
    one = sample()
    cut = prepare.cut(one, Finds(NO_FACES), SHAPE)
    assert not cut.detected
    np.testing.assert_allclose(cut.transform, aligned(points.five_of_ibug68(one.points[None]))[0])


def test_the_nets_picture_is_the_one_served() -> None:
    one = sample()
    faces = prepare.stack([prepare.cut(one, Finds(found(one)), SHAPE)], SHAPE)
    images, unit = plain(faces, SHAPE.span)
    transform = align.umeyama(faces_five(one), align.template("face", SHAPE.span))
    served = align.warp(ImagePyramid(texture(0)), transform, SHAPE.span)
    assert np.abs(images.astype(int) - served.astype(int)).mean() < 1.5
    expected = align.apply(transform, one.points[None])
    np.testing.assert_allclose((unit.reshape(1, 68, 2) * SHAPE.span) - 0.5, expected, atol=1e-3)


def faces_five(one: Sample) -> ndarray:
    return points.five_of_ibug68(one.points[None])


def test_the_photograph_goes_on_beyond_its_edges() -> None:
    image = np.full((20, 20, 3), 90, np.uint8)
    transform = np.array([[[1, 0, 40], [0, 1, 40]]], np.float32)
    assert (prepare.continued(image, transform, 100) >= 89).all()
    assert (align.warp(ImagePyramid(image), transform, 100) == 0).mean() > 0.9


def of_textures(seeds: Mapping[int, float], prefix: str) -> crops.Crops:
    """Crops of textures, by seed and brightness."""
    cuts = []
    for seed, light in seeds.items():
        one = Sample(
            f"{prefix}/{seed}",
            f"{prefix}{seed}",
            (texture(seed) * light).astype(np.uint8),
            sample().points,
            "ibug68",
            "train",
        )
        cuts.append(prepare.cut(one, Finds(found(sample())), SHAPE))
    return prepare.stack(cuts, SHAPE)


def test_a_photograph_of_a_later_split_is_left_out() -> None:
    faces: dict[Split, crops.Crops] = {
        "train": of_textures({1: 1, 2: 1, 3: 1, 4: 1}, "a"),
        "validation": of_textures({2: 0.7, 5: 1}, "b"),
        "test": of_textures({3: 0.8, 5: 0.6, 6: 1}, "c"),
    }
    left_out = prepare.apart(faces)
    assert left_out == {"train": ["a/2", "a/3"], "validation": ["b/5"], "test": []}
    assert faces["train"].names == ("a/1", "a/4")
    assert faces["validation"].names == ("b/2",)


@pytest.mark.parametrize("light", [1.0, 0.5])
def test_twins_are_alike_at_any_tone(light: float) -> None:
    assert duplicates.twins(of_textures({7: 1, 8: 1}, "a"), of_textures({8: light, 9: 1}, "b")) == [(1, 0)]


def portrait(seed: int = 0) -> Sample:
    face = np.random.default_rng(seed).uniform(20, 80, (15, 2)).astype(np.float32)
    face[kaggle.FIVE] = align.template("kaggle15", 96) + np.float32(seed % 3)
    return Sample(f"k/{seed}", f"k{seed}", texture(seed, 96), face, "kaggle15", "train", portrait=True)


PICTURE = prepare.SHAPES["picture"]


def test_a_portrait_is_taken_as_it_is() -> None:
    ones = [portrait(seed) for seed in range(3)]
    ones[1].points[[11, 12]] = np.nan
    faces = prepare.stack([prepare.cut(one, Finds(NO_FACES), PICTURE) for one in ones], PICTURE)
    images, unit = plain(faces, 96)
    for image, one in zip(images, ones, strict=True):
        np.testing.assert_array_equal(image, one.image)
    labels = np.stack([one.points for one in ones])
    np.testing.assert_allclose(unit.reshape(3, 15, 2) * 96 - 0.5, labels, atol=1e-3)
    assert not faces.detected.any()


def test_a_portrait_is_aligned_by_what_is_found_in_it() -> None:
    one = portrait()
    wide = (portraits.BORDER * 96 + one.points + 0.5) * portraits.ENLARGED - 0.5
    five = wide[None, kaggle.FIVE].astype(np.float32)
    box = np.concatenate([five[0].min(axis=0), five[0].max(axis=0)])[None]
    cut = prepare.cut(one, Finds(Faces(box, np.ones(1, np.float32), five)), SHAPE)
    assert cut.detected
    np.testing.assert_allclose(cut.transform, aligned(one.points[None, kaggle.FIVE])[0], atol=1e-4)


def test_a_portrait_without_a_found_face_is_aligned_by_the_expected_box() -> None:
    cut = prepare.cut(portrait(), Finds(NO_FACES), SHAPE)
    assert not cut.detected
    box = portraits.EXPECTED * 96
    expected = box[:, None, :2] + FIVE_IN_BOX * (box[:, None, 2:] - box[:, None, :2]) - 0.5
    np.testing.assert_allclose(cut.transform, aligned(expected.astype(np.float32))[0], atol=1e-3)


def test_points_without_a_label_are_expected_where_the_others_tell() -> None:
    one = portrait(2)
    whole = prepare.five_labelled(one)
    one.points[[11, 12]] = np.nan
    np.testing.assert_allclose(prepare.five_labelled(one), whole, atol=1e-3)


def test_twins_are_told_from_portraits_that_are_not_aligned() -> None:
    one, other = portrait(3), portrait(4)
    moved = np.array([[1.03, 0, -2], [0, 1.03, -1]], np.float32)
    again = Sample(
        "k/again",
        "k/again",
        cv2.warpAffine(np.asarray(one.image), moved, (96, 96)),
        align.apply(moved[None], one.points[None])[0],
        "kaggle15",
        "train",
        portrait=True,
    )
    before, after = (
        prepare.stack([prepare.cut(s, Finds(NO_FACES), PICTURE) for s in samples], PICTURE)
        for samples in ([one, other], [again, portrait(5)])
    )
    assert duplicates.twins(before, after) == [(0, 0)]
