"""Image pyramids: the levels of a search, and the halvings that crops are read from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vision import pyramid
from app.vision.pyramid import ImagePyramid

CELL = 12
sides = st.integers(1, 3000)


@given(sides, sides, st.floats(12, 400))
def test_levels_are_even_hold_a_cell_and_know_their_ratio(width: int, height: int, face: float) -> None:
    for level in pyramid.levels(width, height, face, CELL, 0.709):
        assert level.width % 2 == level.height % 2 == 0
        assert min(level.width, level.height) >= CELL
        assert level.ratio == pytest.approx((width / level.width, height / level.height))


def test_a_margin_is_black_and_lies_around_the_picture() -> None:
    bare, framed = (pyramid.levels(100, 60, 20, CELL, 0.709, margin) for margin in (0, 2))
    assert [(b.width + 4, b.height + 4, b.ratio) for b in bare] == [
        (f.width, f.height, f.ratio) for f in framed
    ]
    picture = ImagePyramid(np.full((60, 100, 3), 200, np.uint8))
    for image, level in zip(pyramid.resize_to_levels(picture, framed), framed, strict=True):
        assert image.shape == (level.height, level.width, 3)
        assert (image[2:-2, 2:-2] == 200).all()
        assert int((image > 0).sum()) == 3 * (level.width - 4) * (level.height - 4)


def test_first_level_makes_the_smallest_face_one_cell() -> None:
    first = pyramid.levels(1000, 500, 20, CELL, 0.5)[0]
    assert (first.width, first.height) == (600, 300)


def test_octaves_halve_and_stop_at_one_pixel() -> None:
    picture = ImagePyramid(np.full((40, 100, 3), 7, np.uint8))
    assert picture[2].shape == (10, 25, 3)
    shrink = np.array([0.3, 1.0, 1.9, 2.0, 5.0, 1e6], np.float32)
    assert picture.octave_for(shrink).tolist() == [0, 0, 0, 1, 2, 5]
    assert picture[5].shape[0] == 1
    assert np.all(picture[5] == 7)


def test_octave_points_keep_their_place_in_the_picture() -> None:
    picture = ImagePyramid(np.zeros((64, 64, 3), np.uint8))
    same = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)
    (there,) = picture.transforms_to(2, same)
    corners = np.array([[-0.5, -0.5, 1], [63.5, 63.5, 1]], np.float32)
    assert (corners @ there.T).tolist() == [[-0.5, -0.5], [15.5, 15.5]]


def test_a_picture_too_long_for_opencv_is_read_from_a_lower_octave() -> None:
    picture = ImagePyramid(np.zeros((2, 70_000, 3), np.uint8))
    octave = int(picture.octave_for(np.array([1.0], np.float32))[0])
    assert octave == 2
    assert max(picture[octave].shape) <= pyramid.REMAP_LIMIT
