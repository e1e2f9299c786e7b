"""Quarter turns: where the pixels of an image go, and where positions in the turned image came from."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vision.turns import (
    TURNS,
    Rotation,
    angle_between,
    angle_to_upright,
    boxes_after_turn,
    boxes_before_turn,
    points_before_turn,
    turn,
)
from tests.fakes import FIVE_IN_BOX

ROTATIONS = st.sampled_from((0, *TURNS))
SIDES = st.integers(1, 40)


def test_an_image_is_turned_clockwise() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 0] = 255  # the corner at the top left
    assert turn(image, 0)[0, 0].all()
    assert turn(image, 90)[0, 1].all()  # goes to the top right
    assert turn(image, 180)[1, 2].all()
    assert turn(image, 270)[2, 0].all()
    assert turn(image, 90).shape == (3, 2, 3)


@given(ROTATIONS, SIDES, SIDES, st.data())
def test_a_point_of_the_turned_image_goes_back_to_its_pixel(
    rotation: Rotation, width: int, height: int, data: st.DataObject
) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    image = np.zeros((height, width, 3), np.uint8)
    image[y, x] = 255
    ((row, column),) = np.argwhere(turn(image, rotation)[..., 0])
    there = np.array([[[column, row]]], np.float32)
    assert points_before_turn(there, rotation, (width, height)).tolist() == [[[x, y]]]


@given(ROTATIONS, SIDES, SIDES, st.data())
def test_a_box_of_the_turned_image_goes_back_to_its_pixels(
    rotation: Rotation, width: int, height: int, data: st.DataObject
) -> None:
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x2, y2 = data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))
    image = np.zeros((height, width, 3), np.uint8)
    image[y1:y2, x1:x2] = 255
    rows, columns = np.nonzero(turn(image, rotation)[..., 0])
    there = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    here = np.array([[x1, y1, x2, y2]], np.float32)
    assert boxes_before_turn(there, rotation, (width, height)).tolist() == here.tolist()
    assert boxes_after_turn(here, rotation, (width, height)).tolist() == there.tolist()


@pytest.mark.parametrize("rotation", [0, *TURNS])
def test_several_images_are_turned_like_one(rotation: Rotation) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3), np.uint8)
    assert np.array_equal(turn(images, rotation), np.stack([turn(image, rotation) for image in images]))


@given(st.floats(-179, 179))
def test_the_angle_turns_the_face_upright(angle: float) -> None:
    matrix = cv2.getRotationMatrix2D((0.5, 0.5), angle, 1.0)  # counterclockwise
    turned = FIVE_IN_BOX @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)
    assert angle_to_upright(turned[None]) == pytest.approx([angle], abs=0.1)


def test_the_angle_of_a_turned_image_is_its_rotation() -> None:
    assert angle_to_upright(FIVE_IN_BOX[None]) == pytest.approx([0])
    for rotation in TURNS:
        face = points_before_turn(FIVE_IN_BOX[None], rotation, (2, 2))
        assert angle_between(angle_to_upright(face), np.array([rotation], np.float32)) < 0.1


@given(st.floats(-360, 360), st.floats(-360, 360))
def test_the_difference_of_angles_is_the_shorter_way(a: float, b: float) -> None:
    first, second = np.array([a], np.float32), np.array([b], np.float32)
    (difference,) = angle_between(first, second)
    assert 0 <= difference <= 180
    assert np.cos(np.radians(difference)) == pytest.approx(np.cos(np.radians(a - b)), abs=1e-3)
