import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vision import align
from app.vision.pyramid import ImagePyramid

TARGET = align.template("arcface", 112)


def similarity(angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[[c, -s, shift[0]], [s, c, shift[1]]]], np.float32)


@given(st.floats(-3.1, 3.1), st.floats(0.05, 20), st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000)))
def test_umeyama_finds_the_similarity_and_its_inverse_undoes_it(
    angle: float, scale: float, shift: tuple[float, float]
) -> None:
    there = similarity(angle, scale, shift)
    faces = align.apply(there, TARGET[None])
    transforms = align.umeyama(faces, TARGET)
    assert align.apply(transforms, faces)[0] == pytest.approx(TARGET, abs=0.05)
    back = align.apply(align.invert(transforms), align.apply(transforms, faces))
    assert back == pytest.approx(faces, abs=0.05 * max(1, scale))


def test_umeyama_is_the_least_squares_similarity_without_reflection() -> None:
    rng = np.random.default_rng(1)
    source = rng.normal(0, 10, (1, 5, 2)).astype(np.float32)
    found = align.umeyama(source, TARGET)
    best = np.square(align.apply(found, source) - TARGET).sum()
    for _ in range(200):
        other = found + rng.normal(0, 0.01, found.shape).astype(np.float32)
        other[:, 1, 1], other[:, 1, 0] = other[:, 0, 0], -other[:, 0, 1]
        assert np.square(align.apply(other, source) - TARGET).sum() >= best - 1e-3
    assert np.linalg.det(found[0, :, :2]) > 0


def test_umeyama_takes_a_batch_and_none() -> None:
    faces = np.stack([TARGET, TARGET * 2 + 5])
    both = align.umeyama(faces, TARGET)
    assert both[1] == pytest.approx(align.umeyama(faces[1:], TARGET)[0])
    assert align.umeyama(faces[:0], TARGET).shape == (0, 2, 3)


def test_coinciding_points_give_no_scale_and_no_numbers_that_are_none() -> None:
    transforms = align.umeyama(np.full((1, 5, 2), 3, np.float32), TARGET)
    assert np.all(np.isfinite(transforms))
    assert np.all(np.isfinite(align.invert(transforms)))
    assert align.warp(ImagePyramid(np.zeros((9, 9, 3), np.uint8)), transforms, 8).shape == (1, 8, 8, 3)


def test_identity_warp_is_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    box = np.array([[0, 0, 40, 40]], np.float32)
    assert np.array_equal(align.warp(ImagePyramid(image), align.of_boxes(box, 40), 40)[0], image)


def test_box_crop_is_the_half_open_part_of_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    box = np.array([[7, 11, 27, 31]], np.float32)
    assert np.array_equal(align.warp(ImagePyramid(image), align.of_boxes(box, 20), 20)[0], image[11:31, 7:27])


def test_outside_the_picture_is_black() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    crop = align.warp(ImagePyramid(image), align.of_boxes(np.array([[-20, 0, 20, 40]], np.float32), 40), 40)[
        0
    ]
    assert np.all(crop[:20, 20:] == 200)
    assert np.all(crop[:, :19] == 0)
    assert np.all(crop[21:] == 0)


@given(st.integers(1, 7))
def test_large_faces_are_reduced_without_aliasing(octaves: int) -> None:
    side = 16 * 2**octaves
    stripes = np.zeros((side, side, 3), np.uint8)
    stripes[:, ::2] = 255  # a pattern that careless sampling turns all black or all white
    crop = align.warp(
        ImagePyramid(stripes), align.of_boxes(np.array([[0, 0, side, side]], np.float32), 16), 16
    )
    assert abs(float(crop.mean()) - 127.5) < 3


def test_a_batch_of_crops_equals_single_crops() -> None:
    rng = np.random.default_rng(2)
    picture = ImagePyramid(rng.integers(0, 255, (300, 400, 3), dtype=np.uint8))
    corner = rng.uniform(-30, 250, (40, 2))
    found = np.concatenate([corner, corner + rng.uniform(5, 300, (40, 1))], axis=1).astype(np.float32)
    transforms = align.of_boxes(found, 24)
    together = align.warp(picture, transforms, 24)
    for i in range(40):
        assert np.array_equal(align.warp(picture, transforms[i : i + 1], 24)[0], together[i])


@pytest.mark.parametrize("name", align.TEMPLATES)
def test_templates_lie_in_their_square_with_the_right_eye_on_the_left(name: align.Template) -> None:
    five = align.TEMPLATES[name]
    assert ((five > 0) & (five < 1)).all()
    assert five[0, 0] < five[2, 0] < five[1, 0]
    assert five[:2, 1].max() < five[2, 1] < five[3:, 1].min()


def test_kaggles_template_takes_its_pictures_as_they_are() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    five = align.template("kaggle15", 96)
    crop = align.warp(ImagePyramid(image), align.umeyama(five[None], five), 96)[0]
    assert np.array_equal(crop, image)
    mirrored = five[[1, 0, 2, 4, 3]] * np.array([-1, 1], np.float32) + np.array([95, 0], np.float32)
    assert mirrored == pytest.approx(five, abs=1e-3)
