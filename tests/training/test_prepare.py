"""Crops by a detector that always answers the same, and photographs that stand in the data twice."""

from collections.abc import Mapping

import cv2
import numpy as np
import pytest
from numpy import ndarray

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import NO_FACES, Faces, Timing
from app.vision import align, points
from app.vision.pyramid import Octaves
from training.data import crops, duplicates, prepare
from training.data.batches import plain
from training.data.sources import Sample, Split

SHAPE = prepare.CropShape(span=40, margin=1.5)


class Finds(Detector):
    """A detector that finds the given faces, whatever the picture."""

    def __init__(self, faces: Faces) -> None:
        self.faces = faces

    def detect(self, picture: Octaves, options: DetectOptions, timing: Timing) -> Faces:
        return self.faces


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


def test_a_found_face_is_aligned_by_the_detectors_points() -> None:
    one = sample()
    cut = prepare.cut(one, Finds(found(one, offset=2)), SHAPE)
    assert cut.detected
    expected = align.umeyama(points.five_of_ibug68(one.points[None]) + 2, SHAPE.target())
    np.testing.assert_allclose(cut.transform, expected[0], atol=1e-4)
    np.testing.assert_allclose(cut.points, align.apply(expected, one.points[None])[0], atol=1e-3)


def test_a_missed_face_is_aligned_by_its_labels() -> None:
    one = sample()
    cut = prepare.cut(one, Finds(NO_FACES), SHAPE)
    assert not cut.detected
    np.testing.assert_allclose(
        cut.transform, align.umeyama(points.five_of_ibug68(one.points[None]), SHAPE.target())[0]
    )


def test_the_nets_picture_is_the_one_served() -> None:
    one = sample()
    faces = prepare.stack([prepare.cut(one, Finds(found(one)), SHAPE)], SHAPE)
    images, unit = plain(faces, SHAPE.span)
    transform = align.umeyama(faces_five(one), align.template("face", SHAPE.span))
    served = align.warp(Octaves(texture(0)), transform, SHAPE.span)
    assert np.abs(images.astype(int) - served.astype(int)).mean() < 1.5
    expected = align.apply(transform, one.points[None])
    np.testing.assert_allclose((unit.reshape(1, 68, 2) * SHAPE.span) - 0.5, expected, atol=1e-3)


def faces_five(one: Sample) -> ndarray:
    return points.five_of_ibug68(one.points[None])


def test_the_photograph_goes_on_beyond_its_edges() -> None:
    image = np.full((20, 20, 3), 90, np.uint8)
    transform = np.array([[[1, 0, 40], [0, 1, 40]]], np.float32)
    assert (prepare.continued(image, transform, 100) >= 89).all()
    assert (align.warp(Octaves(image), transform, 100) == 0).mean() > 0.9


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
