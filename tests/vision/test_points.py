import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vision import points


@pytest.mark.parametrize("scheme", ["ibug68", "kaggle15", "mesh468"])
def test_mirror_permutation_undoes_itself(scheme: points.Scheme) -> None:
    order = points.MIRROR[scheme]
    assert sorted(order) == list(range(points.COUNTS[scheme]))
    assert order[order].tolist() == list(range(len(order)))


@given(st.integers(0, 2**32 - 1), st.sampled_from(["ibug68", "kaggle15", "mesh468"]), st.integers(2, 4000))
def test_mirroring_twice_is_the_identity(seed: int, scheme: points.Scheme, width: int) -> None:
    face = np.random.default_rng(seed).uniform(0, width, (3, points.COUNTS[scheme], 2)).astype(np.float32)
    twice = points.mirror(points.mirror(face, width, scheme), width, scheme)
    assert twice == pytest.approx(face, abs=1e-2)


def test_mirror_maps_the_first_pixel_to_the_last() -> None:
    face = np.zeros((1, 68, 2), np.float32)
    assert np.all(points.mirror(face, 100, "ibug68")[..., 0] == 99)


def test_mirror_swaps_the_subjects_sides() -> None:
    kaggle = {name: i for i, name in enumerate(points.KAGGLE15)}
    for name, i in kaggle.items():
        swapped = name.replace("left", "@").replace("right", "left").replace("@", "right")
        assert points.MIRROR["kaggle15"][i] == kaggle[swapped]
    assert points.MIRROR["ibug68"][36] == 45
    assert points.MIRROR["ibug68"][48] == 54
    assert points.MIRROR["ibug68"][60] == 64
    assert points.MIRROR["ibug68"][8] == 8


def test_five_of_ibug68_takes_eye_centres_nose_and_mouth_corners() -> None:
    face = np.arange(136, dtype=np.float32).reshape(1, 68, 2)
    five = points.five_of_ibug68(face)[0]
    assert five[0].tolist() == face[0, 36:42].mean(axis=0).tolist()
    assert five[1].tolist() == face[0, 42:48].mean(axis=0).tolist()
    assert five[2:].tolist() == face[0, [30, 48, 54]].tolist()


def test_fifteen_of_ibug68_stand_in_kaggles_order() -> None:
    face = np.random.default_rng(0).uniform(0, 100, (2, 68, 2)).astype(np.float32)
    fifteen = dict(zip(points.KAGGLE15, points.fifteen_of_ibug68(face).swapaxes(0, 1), strict=True))
    five = points.five_of_ibug68(face)
    for i, name in enumerate(
        ("right_eye_center", "left_eye_center", "nose_tip", "mouth_right_corner", "mouth_left_corner")
    ):
        np.testing.assert_array_equal(fifteen[name], five[:, i])
    np.testing.assert_array_equal(fifteen["left_eye_outer_corner"], face[:, points.LEFT_EYE_OUTER])
    np.testing.assert_array_equal(fifteen["right_eye_outer_corner"], face[:, points.RIGHT_EYE_OUTER])


def test_fifteen_points_of_a_mirrored_face_are_its_fifteen_points_mirrored() -> None:
    face = np.random.default_rng(1).uniform(0, 100, (2, 68, 2)).astype(np.float32)
    first = points.mirror(points.fifteen_of_ibug68(face), 100, "kaggle15")
    assert points.fifteen_of_ibug68(points.mirror(face, 100, "ibug68")) == pytest.approx(first, abs=1e-4)


@pytest.mark.parametrize("scheme", ["ibug68", "kaggle15", "mesh468"])
def test_every_point_is_of_one_region_and_mirrors_into_it(scheme: points.Scheme) -> None:
    regions = points.REGIONS[scheme]
    assert sorted(i for index in regions.values() for i in index) == list(range(points.COUNTS[scheme]))
    for index in regions.values():
        assert sorted(points.MIRROR[scheme][list(index)]) == list(index)
