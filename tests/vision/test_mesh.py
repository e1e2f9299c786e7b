"""Geometry of the face mesh, on the mesh of a photo and on turned copies of it."""

from functools import cache

import numpy as np
import pytest
from numpy import ndarray

from app.pipeline.landmarks import MeshLandmarker
from app.runtime.timing import Timing
from app.vision import align, mesh
from app.vision.image import decode
from app.vision.mesh_tables import LINES, MIRRORED_PAIRS, TRIANGLES
from app.vision.points import FIVE_MIRROR, MIRROR
from app.vision.pyramid import ImagePyramid
from tests.sessions import session

# The five points of tests/photos/astronaut.png.
FIVE = np.array([[[203.7, 99.8], [246.4, 102.4], [223.7, 128.0], [201.1, 138.8], [244.2, 141.3]]], np.float32)


@cache
def astronaut() -> ndarray:
    """The mesh (1, 468, 3) of tests/photos/astronaut.png."""
    with open("tests/photos/astronaut.png", "rb") as file:
        picture = ImagePyramid(decode(file.read(), 10**7, "image"))
    return MeshLandmarker(session("mesh.onnx")).meshes(picture, FIVE, Timing())


def rotated(meshes: ndarray, first: int, second: int, degrees: float) -> ndarray:
    """Meshes whose axis `first` is turned towards the axis `second`."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    out = meshes.copy()
    out[..., first] = meshes[..., first] * c - meshes[..., second] * s
    out[..., second] = meshes[..., first] * s + meshes[..., second] * c
    return out


def turned(meshes: ndarray, degrees: float) -> ndarray:
    """Meshes in an image that is turned clockwise."""
    return rotated(meshes, 0, 1, degrees)


def looking(meshes: ndarray, degrees: float) -> ndarray:
    """Meshes of heads that are turned to their own left, about the vertical axis of the image."""
    return rotated(meshes, 0, 2, degrees)


def nodding(meshes: ndarray, degrees: float) -> ndarray:
    """Meshes of heads that are raised, about the horizontal axis of the image."""
    return rotated(meshes, 2, 1, degrees)


def mirrored(meshes: ndarray) -> ndarray:
    return meshes[:, MIRROR["mesh468"]] * np.array([-1, 1, 1], np.float32)


def test_the_tables_name_vertices_of_the_mesh() -> None:
    pairs = np.array(MIRRORED_PAIRS)
    assert len(np.unique(pairs)) == pairs.size == 440
    for table in (pairs, np.array(TRIANGLES), np.concatenate([np.array(line) for line in LINES])):
        assert table.min() >= 0
        assert table.max() < 468
    assert len({frozenset(t) for t in TRIANGLES}) == len(TRIANGLES)
    assert np.unique(TRIANGLES).size == 468


def test_triangles_and_lines_are_short() -> None:
    """A wrong number in a table would draw a line across the face."""
    points, eyes = astronaut()[0, :, :2], np.linalg.norm(FIVE[0, 0] - FIVE[0, 1])
    for a, b, c in TRIANGLES:
        assert np.linalg.norm(points[[a, b, c]] - points[[b, c, a]], axis=1).max() < 0.6 * eyes
    for line in LINES:
        steps = np.linalg.norm(np.diff(points[list(line)], axis=0), axis=1)
        assert steps.max() < 0.55 * eyes


def test_mirrored_vertices_lie_opposite() -> None:
    head = astronaut()[0] @ mesh.rotations(astronaut())[0].T  # seen from the front
    right, left = np.array(MIRRORED_PAIRS).T
    middle = head[[mesh.CHIN, mesh.FOREHEAD, 1, 168], 0].mean()
    width = head[:, 0].max() - head[:, 0].min()
    assert np.abs((head[right, 0] + head[left, 0]) / 2 - middle).max() < 0.05 * width
    assert np.abs(head[right, 1] - head[left, 1]).max() < 0.05 * width
    assert (head[left, 0] > head[right, 0]).all()


def test_pose_of_a_frontal_head() -> None:
    yaw, pitch, roll = mesh.pose(astronaut())[0]
    assert abs(yaw) < 8
    assert abs(pitch) < 12
    assert abs(roll - 2.5) < 2


@pytest.mark.parametrize("degrees", [-170, -90, -30, 20, 90, 140])
def test_a_rotation_of_the_image_changes_roll_alone(degrees: float) -> None:
    before, after = mesh.pose(astronaut())[0], mesh.pose(turned(astronaut(), degrees))[0]
    assert after[:2] == pytest.approx(before[:2], abs=1e-3)
    assert (after[2] - before[2] - degrees + 180) % 360 - 180 == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("degrees", [-40, -15, 25, 60])
def test_yaw_is_positive_to_the_own_left_and_pitch_upwards(degrees: float) -> None:
    before = mesh.pose(astronaut())[0]
    assert mesh.pose(looking(astronaut(), degrees))[0, 0] - before[0] == pytest.approx(degrees, abs=1)
    assert mesh.pose(nodding(astronaut(), degrees))[0, 1] - before[1] == pytest.approx(degrees, abs=1)


def test_a_head_that_turns_left_or_up_shows_its_nose_there() -> None:
    """The signs, from what is seen: own left is to the right of the image."""

    def nose(meshes: ndarray) -> ndarray:
        return meshes[0, 4, :2] - meshes[0, [127, 356], :2].mean(axis=0)

    level = turned(astronaut(), -mesh.pose(astronaut())[0, 2])
    assert nose(looking(level, 30))[0] > nose(level)[0] + 5
    assert nose(nodding(level, 30))[1] < nose(level)[1] - 5


def test_a_mirror_changes_the_signs_of_yaw_and_roll() -> None:
    tilted = looking(turned(astronaut(), 12), 20)
    yaw, pitch, roll = mesh.pose(tilted)[0]
    assert mesh.pose(mirrored(tilted))[0] == pytest.approx([-yaw, pitch, -roll], abs=1e-3)


def test_regions_hold_the_mesh_level_and_in_the_middle() -> None:
    for degrees in (0, 35, 180):
        meshes = turned(astronaut(), degrees)
        inside = align.apply(mesh.regions(meshes, 1.4, 192), meshes[:, :, :2])[0]
        low, high = inside.min(axis=0), inside.max(axis=0)
        assert (low + high) / 2 == pytest.approx([95.5, 95.5], abs=0.01)
        assert (high - low).max() == pytest.approx(192 / 1.4, abs=0.01)
        eyes = inside[mesh.LEFT_EYE] - inside[mesh.RIGHT_EYE]
        assert eyes[0] > 0
        assert eyes[1] == pytest.approx(0, abs=0.01)


def test_the_68_points_turn_and_mirror_with_the_mesh() -> None:
    straight = mesh.ibug68(astronaut())
    for degrees in (30, 180):
        depth = np.zeros((1, 68, 1), np.float32)
        expected = turned(np.concatenate([straight, depth], axis=2), degrees)[:, :, :2]
        assert mesh.ibug68(turned(astronaut(), degrees)) == pytest.approx(expected, abs=0.3)
    opposite = mesh.ibug68(mirrored(astronaut()))[:, MIRROR["ibug68"]] * np.array([-1, 1], np.float32)
    assert opposite == pytest.approx(straight, abs=0.5)


def test_the_jaw_is_evenly_spaced_on_each_side_of_the_chin() -> None:
    jaw = mesh.ibug68(astronaut())[0, :17]
    steps = np.linalg.norm(np.diff(jaw, axis=0), axis=1)
    for half in (steps[:8], steps[8:]):
        assert half.max() / half.min() < 1.4
    assert jaw[8, 1] == jaw[:, 1].max()
    assert (np.diff(jaw[2:15, 0]) > 0).all()


def test_the_jaw_follows_the_visible_outline_of_a_turned_head() -> None:
    for degrees in (-45, 45):
        meshes = looking(astronaut(), degrees)
        jaw, hull = mesh.ibug68(meshes)[0, :17], meshes[0, :, 0]
        assert jaw[:, 0].min() < hull.min() + 4
        assert jaw[:, 0].max() > hull.max() - 4


def test_degenerate_meshes_give_numbers() -> None:
    for meshes in (np.zeros((2, 468, 3), np.float32), np.ones((1, 468, 3), np.float32)):
        assert np.isfinite(mesh.ibug68(meshes)).all()
        assert np.isfinite(mesh.pose(meshes)).all()
        assert np.isfinite(mesh.regions(meshes, 1.4, 192)).all()


def test_no_meshes_give_no_points() -> None:
    none = np.empty((0, 468, 3), np.float32)
    assert mesh.ibug68(none).shape == (0, 68, 2)
    assert mesh.pose(none).shape == (0, 3)
    assert mesh.regions(none, 1.4, 192).shape == (0, 2, 3)


def test_the_five_points_of_a_mesh_are_where_the_detector_places_them() -> None:
    eyes = np.linalg.norm(FIVE[0, 1] - FIVE[0, 0])
    assert np.linalg.norm(mesh.five_points(astronaut())[0] - FIVE[0], axis=1).max() < 0.06 * eyes


def test_the_five_points_follow_the_image() -> None:
    found = mesh.five_points(astronaut())
    assert mesh.five_points(turned(astronaut(), 30)) == pytest.approx(
        turned(np.dstack([found, found[:, :, :1]]), 30)[:, :, :2], abs=1e-2
    )
    shifted = astronaut() * 2 + np.array([5, -3, 0], np.float32)
    assert mesh.five_points(shifted) == pytest.approx(found * 2 + np.array([5, -3]), abs=1e-2)
    assert mesh.five_points(astronaut()[:0]).shape == (0, 5, 2)


def test_the_five_points_of_a_mirrored_mesh_are_mirrored() -> None:
    mirrored = astronaut()[:, MIRROR["mesh468"]] * np.array([-1, 1, 1], np.float32)
    expected = mesh.five_points(astronaut())[:, FIVE_MIRROR] * np.array([-1, 1], np.float32)
    assert mesh.five_points(mirrored) == pytest.approx(expected, abs=1e-2)
