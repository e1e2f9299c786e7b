"""Augmentation moves points and pixels alike, and an empty one changes nothing."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from app.vision import points
from training.config.schema import Augmentation
from training.configs.cnn68 import CONFIG
from training.data.batches import augment

SIZE = 128
EVERYTHING = CONFIG.augment.model_copy(
    update={
        f"{name}_share": 1.0
        for name in ("flip", "edge", "light", "grey", "blur", "shrink", "noise", "jpeg", "occlude")
    }
)
TO_INPUT = np.array([[0.8, 0, -48.3], [0, 0.8, -48.3]], np.float32)


def blobs(at: ndarray, side: int) -> ndarray:
    """A black picture with a small white blob at each point."""
    image = np.zeros((side, side, 3), np.uint8)
    for x, y in at:
        cv2.circle(image, (round(x * 16), round(y * 16)), 5 * 16, (255, 255, 255), -1, cv2.LINE_AA, shift=4)
    return image


@given(seed=st.integers(0, 2**32 - 1))
def test_pixels_go_where_their_points_go(seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = np.array([[120.0, 140.0]], np.float32)
    matrix, _ = augment.random_transform(rng, CONFIG.augment, TO_INPUT, SIZE)
    picture = augment.warp(blobs(at, 280), matrix, SIZE)[:, :, 0].astype(np.float64)
    y, x = np.indices(picture.shape)
    centre = np.array([(picture * x).sum(), (picture * y).sum()]) / picture.sum()
    moved = (at @ matrix[:, :2].T + matrix[:, 2])[0]
    np.testing.assert_allclose(centre, moved, atol=0.3)


@given(seed=st.integers(0, 2**32 - 1))
def test_flipping_twice_is_the_identity(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = augment.random_affine(rng, CONFIG.augment, SIZE)
    np.testing.assert_allclose(augment.mirrored(augment.mirrored(matrix, SIZE), SIZE), matrix, atol=1e-9)
    face = rng.uniform(0, SIZE, (68, 2)).astype(np.float32)
    still = np.eye(2, 3)
    flip = augment.mirrored(still, SIZE)
    twice = augment.move_points(augment.move_points(face, flip, True, "ibug68"), flip, True, "ibug68")
    np.testing.assert_allclose(twice, face, atol=1e-4)


def test_a_flip_is_that_of_the_point_scheme() -> None:
    face = np.random.default_rng(0).uniform(0, SIZE, (68, 2)).astype(np.float32)
    placed = augment.move_points(face, augment.mirrored(np.eye(2, 3), SIZE), True, "ibug68")
    np.testing.assert_allclose(placed, points.mirror(face[None], float(SIZE), "ibug68")[0], atol=1e-4)


def test_no_augmentation_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    none = Augmentation()
    matrix, flipped = augment.random_transform(rng, none, TO_INPUT, SIZE)
    np.testing.assert_allclose(matrix, TO_INPUT, atol=1e-5)
    assert not flipped
    image = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    np.testing.assert_array_equal(augment.appearance(rng, none, image), image)
    corners = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], np.float32)
    assert augment.photo_corners(rng, none, corners) is corners


@given(seed=st.integers(0, 2**32 - 1))
def test_every_augmentation_together_gives_a_picture(seed: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    before = image.copy()
    out = augment.appearance(np.random.default_rng(seed), EVERYTHING, image)
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(out, augment.appearance(np.random.default_rng(seed), EVERYTHING, image))


def test_black_begins_where_the_photograph_ends() -> None:
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)
    corners = np.array([[-0.5, -0.5], [99.5, -0.5], [99.5, 127.5], [-0.5, 127.5]], np.float32)
    out = augment.blacken(image, corners, np.eye(2, 3))
    assert (out[:, :99] == 200).all()
    assert (out[:, 101:] == 0).all()


@pytest.mark.parametrize("field", ["rotate", "scale", "shift", "stretch"])
def test_each_range_alone_moves_points(field: str) -> None:
    how = Augmentation.model_validate({field: 0.2})
    matrix = augment.random_affine(np.random.default_rng(0), how, SIZE)
    assert np.abs(matrix - np.eye(2, 3)).max() > 1e-4
