"""Photos that a dataset has twice, at another brightness or size."""

import cv2
import numpy as np
import pytest

from app.pipeline.faces import NO_FACES
from app.vision import align
from tests.training.labelled_photos import FixedDetector, crops_of_textures, portrait
from training.data.datasets.landmark_sets import Sample
from training.data.prepare.landmark_crops import SHAPES, crop, stack
from training.data.prepare.near_duplicates import find_duplicates, without_duplicates


@pytest.mark.parametrize("brightness", [1.0, 0.5])
def test_a_photo_is_found_at_any_brightness(brightness: float) -> None:
    first = crops_of_textures({7: 1, 8: 1}, "a")
    second = crops_of_textures({8: brightness, 9: 1}, "b")
    assert find_duplicates(first, second) == [(1, 0)]
    kept, removed = without_duplicates(first, second)
    assert (kept.names, removed) == (("a/7",), ["a/8"])


def test_a_photo_is_found_in_portraits_that_are_not_aligned() -> None:
    photo, other = portrait(3), portrait(4)
    moved = np.array([[1.03, 0, -2], [0, 1.03, -1]], np.float32)
    again = Sample(
        "k/again",
        "k/again",
        cv2.warpAffine(np.asarray(photo.image), moved, (96, 96)),
        align.apply(moved[None], photo.points[None])[0],
        "kaggle15",
        "train",
        portrait=True,
    )
    whole = SHAPES["picture"]
    before, after = (
        stack([crop(sample, FixedDetector(NO_FACES), whole) for sample in samples], whole)
        for samples in ([photo, other], [again, portrait(5)])
    )
    assert find_duplicates(before, after) == [(0, 0)]
