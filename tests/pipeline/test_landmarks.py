"""Landmark models: which one a net gets, and the two passes of a face mesh."""

import numpy as np
import pytest
from numpy import ndarray

from app.errors import BadModel, BadParameter
from app.pipeline.analyzer import Analyzer
from app.pipeline.faces import Faces
from app.pipeline.landmarks import Landmarker, MeshLandmarker, landmarker_of
from app.runtime.timing import Timing
from app.vision.image import decode
from app.vision.points import MIRROR, five_of_ibug68
from app.vision.pyramid import ImagePyramid
from app.vision.spec import MeshSpec
from tests import fakes
from tests.fakes import COMMON, FakeSession
from tests.sessions import model, session

SIDE = 64
SPEC = MeshSpec(model="mesh", size=SIDE, template="mesh", extent=1.4, scheme="mesh468", **COMMON)
FIVE = np.array([[[203.7, 99.8], [246.4, 102.4], [223.7, 128.0], [201.1, 138.8], [244.2, 141.3]]], np.float32)


def astronaut() -> ImagePyramid:
    with open("tests/photos/astronaut.png", "rb") as file:
        return ImagePyramid(decode(file.read(), 10**7, "image"))


def bright_spot(images: ndarray) -> dict[str, ndarray]:
    """A mesh whose vertices are spread about the brightest pixel of each crop."""
    grid = np.random.default_rng(0).uniform(-0.2, 0.2, (468, 3)).astype(np.float32)
    grid[MIRROR["mesh468"]] = grid * np.array([-1, 1, 1], np.float32)
    out = []
    for image in images:
        y, x = np.unravel_index(image[:, :, 0].argmax(), image.shape[:2])
        out.append(grid + np.array([(x + 0.5) / SIDE, (y + 0.5) / SIDE, 0], np.float32))
    return {
        "points": np.stack(out).reshape(len(images), -1),
        "presence": np.arange(len(images), dtype=np.float32)[:, None],
    }


def test_a_spec_selects_the_class() -> None:
    assert type(landmarker_of(session("mesh.onnx"))) is MeshLandmarker
    assert type(landmarker_of(session("cnn15.onnx"))) is Landmarker
    with pytest.raises(BadModel, match="not a face mesh"):
        MeshLandmarker(session("cnn15.onnx"))
    with pytest.raises(BadModel, match="not a landmark net"):
        Landmarker(session("sface.onnx"))


def test_the_second_crop_is_run_with_its_mirror_image() -> None:
    net = FakeSession(SPEC, bright_spot)
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[90:93, 140:143] = 255
    five = np.array([[[120, 80], [160, 80], [140, 100], [124, 120], [156, 120]]] * 3, np.float32)
    meshes = MeshLandmarker(net)(ImagePyramid(picture), five)
    assert net.seen == [3, 6]
    assert meshes.shape == (3, 468, 3)
    assert (meshes.min(axis=1) + meshes.max(axis=1))[:, :2] / 2 == pytest.approx(
        np.array([[141, 91]] * 3), abs=6
    )


def test_the_first_pass_gives_the_presence_of_each_face() -> None:
    net = FakeSession(SPEC, bright_spot)
    five = np.array([[[120, 80], [160, 80], [140, 100], [124, 120], [156, 120]]] * 3, np.float32)
    meshes, presence = MeshLandmarker(net).first_pass(
        ImagePyramid(np.zeros((200, 300, 3), np.uint8)), five, Timing()
    )
    assert meshes.shape == (3, 468, 3)
    assert presence.tolist() == [0, 1, 2]
    assert net.seen == [3]


def test_depth_has_the_scale_of_the_picture() -> None:
    """In a picture of half the size x, y and z are half as large."""
    whole, landmarker = astronaut(), MeshLandmarker(session("mesh.onnx"))
    half = ImagePyramid(np.ascontiguousarray(whole[1]))
    large, small = landmarker(whole, FIVE), landmarker(half, (FIVE + 0.5) / 2 - 0.5)
    assert np.ptp(large[0, :, 2]) > 30
    assert np.ptp(small[0], axis=0) * 2 == pytest.approx(np.ptp(large[0], axis=0), rel=0.03)


def test_the_nose_is_nearer_than_the_ears() -> None:
    depth = MeshLandmarker(session("mesh.onnx"))(astronaut(), FIVE)[0, :, 2]
    assert depth[4] < depth[127] - 20
    assert depth[4] < depth[356] - 20


def test_the_68_points_agree_with_the_five() -> None:
    points = landmarker_of(session("mesh68.onnx"))(astronaut(), FIVE)
    assert points.shape == (1, 68, 2)
    eyes = np.linalg.norm(FIVE[0, 0] - FIVE[0, 1])
    assert np.linalg.norm(five_of_ibug68(points) - FIVE, axis=2).max() < 0.15 * eyes


def test_pose_needs_a_face_mesh() -> None:
    picture = astronaut()
    faces = Faces(np.array([[170, 60, 270, 170]], np.float32), np.ones(1, np.float32), FIVE)
    with_mesh = Analyzer([fakes.cascade(), model("mesh68")])
    poses = with_mesh.poses(picture, faces, Timing()).poses
    assert poses is not None
    assert poses.shape == (1, 3)
    without = Analyzer([fakes.cascade(), fakes.landmarker()])
    with pytest.raises(BadParameter, match="mesh68"):
        without.poses(picture, faces, Timing())
