"""Turned faces: none is answered the wrong way round, and `auto` finds them where they are."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import Faces
from app.pipeline.orientation import OrientationCheck, is_upright
from app.runtime.timing import Timing
from app.vision import turns
from app.vision.image import decode
from app.vision.pyramid import Image, ImagePyramid
from app.vision.spec import ONetSpec, RNetSpec
from app.vision.turns import TURNS, Rotation
from tests.fakes import COMMON, FIVE_IN_BOX, FakeSession
from tests.sessions import model

PORTRAITS = ("astronaut.png", "biden.jpg", "obama.jpg", "obama2.jpg")


@pytest.fixture(scope="module", params=["cascade", "mtcnn"])
def detector(request: pytest.FixtureRequest) -> Detector:
    return Detector(model(request.param).sessions)


@cache
def photo(name: str) -> Image:
    image = decode((Path("tests/photos") / name).read_bytes(), 50_000_000, "image")
    scale = 480 / max(image.shape[:2])
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def before(rotation: Rotation, upright: Image) -> Image:
    """Return the image that is the given one after it is turned by `rotation`."""
    return turns.turn(turns.turn(turns.turn(upright, rotation), rotation), rotation)


def detect(detector: Detector, image: Image, auto: bool = False) -> Faces:
    options = DetectOptions(orientation="auto" if auto else "upright")
    return detector.detect(ImagePyramid(image), options, Timing())


def eye_distance(faces: Faces) -> float:
    return float(np.linalg.norm(faces.points[0, 0] - faces.points[0, 1]))


@pytest.mark.parametrize("rotation", TURNS)
@pytest.mark.parametrize("name", PORTRAITS)
def test_auto_finds_a_turned_face_where_it_is(detector: Detector, name: str, rotation: Rotation) -> None:
    upright = photo(name)
    expected = detect(detector, upright)
    assert len(expected) == 1
    sent = before(rotation, upright)
    assert len(detect(detector, sent)) == 0
    found = detect(detector, sent, auto=True)
    assert found.rotations is not None
    assert found.rotations.tolist() == [rotation]
    height, width = sent.shape[:2]
    assert turns.boxes_before_turn(expected.boxes, rotation, (width, height)) == pytest.approx(found.boxes)
    assert turns.points_before_turn(expected.points, rotation, (width, height)) == pytest.approx(found.points)
    assert found.scores == pytest.approx(expected.scores)


def test_auto_answers_an_upright_photo_as_upright_does(detector: Detector) -> None:
    here, there = (detect(detector, photo("biden.jpg"), auto) for auto in (False, True))
    assert np.array_equal(here.boxes, there.boxes)
    assert there.rotations is None


def test_auto_answers_no_face_in_noise(detector: Detector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    assert len(detect(detector, noise, auto=True)) == 0


def test_auto_finds_faces_of_several_turns_in_one_picture(detector: Detector) -> None:
    tile = cv2.resize(photo("astronaut.png"), (300, 300), interpolation=cv2.INTER_AREA)
    both = np.concatenate([before(90, tile), before(180, tile)], axis=1)
    found = detect(detector, both, auto=True)
    assert found.rotations is not None
    order = found.boxes[:, 0].argsort()
    assert found.rotations[order].tolist() == [90, 180]
    beside = np.concatenate([tile, before(180, tile)], axis=1)
    only_upright = detect(detector, beside, auto=True)  # one face is upright, so the picture is not turned
    assert len(only_upright) == 1
    assert only_upright.boxes[0, 2] < 300


def test_max_faces_counts_the_faces_of_all_turns(detector: Detector) -> None:
    tile = cv2.resize(photo("astronaut.png"), (300, 300), interpolation=cv2.INTER_AREA)
    both = np.concatenate([before(90, tile), before(180, tile)], axis=1)
    options = DetectOptions(orientation="auto", max_faces=1)
    assert len(detector.detect(ImagePyramid(both), options, Timing())) == 1


@pytest.mark.parametrize("angle", [-40, -20, 20, 40])
@pytest.mark.parametrize("name", ["astronaut.png", "obama.jpg"])
def test_a_face_turned_by_up_to_40_degrees_stays(detector: Detector, name: str, angle: float) -> None:
    upright = photo(name)
    face = detect(detector, upright)
    middle = tuple(float(v) for v in face.points[0].mean(axis=0))
    matrix = cv2.getRotationMatrix2D(middle, angle, 1.0)
    turned = cv2.warpAffine(upright, matrix, upright.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    for auto in (False, True):
        found = detect(detector, turned, auto).take(np.array([0]))
        assert found.rotations is None or found.rotations.tolist() == [0]
        moved = face.points[0] @ matrix[:, :2].T + matrix[:, 2]
        assert np.linalg.norm(found.points[0] - moved, axis=1).mean() < 0.2 * eye_distance(face)


@pytest.mark.parametrize("rotation", [0, *TURNS])
def test_a_given_box_is_read_at_the_turn_that_fits(detector: Detector, rotation: Rotation) -> None:
    upright = photo("obama.jpg")
    face = detect(detector, upright)
    sent = before(rotation, upright)
    size = sent.shape[1], sent.shape[0]
    box = turns.boxes_before_turn(face.boxes, rotation, size)
    given = np.concatenate([np.array([[5, 5, 60, 60]], np.float32), box])
    located = detector.locate_turned(ImagePyramid(sent), given, Timing())
    assert np.array_equal(located.boxes, given)
    assert (0 if located.rotations is None else located.rotations[1]) == rotation
    expected = turns.points_before_turn(face.points, rotation, size)
    assert np.abs(located.points[1] - expected[0]).max() < 0.1 * eye_distance(face)
    assert len(detector.locate_turned(ImagePyramid(sent), given[:0], Timing())) == 0


def test_boxes_of_several_turns_keep_their_order(detector: Detector) -> None:
    tile = cv2.resize(photo("astronaut.png"), (300, 300), interpolation=cv2.INTER_AREA)
    whole = np.concatenate([before(180, tile), tile, before(90, tile)], axis=1)
    boxes = detect(detector, tile).boxes
    parts = [turns.boxes_before_turn(boxes, rotation, (300, 300)) for rotation in (180, 0, 90)]
    given = np.concatenate(
        [part + np.array([300 * i, 0, 300 * i, 0], np.float32) for i, part in enumerate(parts)]
    )
    located = detector.locate_turned(ImagePyramid(whole), given, Timing())
    assert np.array_equal(located.boxes, given)
    assert located.rotations is not None
    assert located.rotations.tolist() == [180, 0, 90]


def bright_at(side: float) -> OrientationCheck:
    """Return a check whose nets take a face for upright by how much brighter the top of its crop is.

    Args:
        side: logit of a crop whose upper half is white and whose lower half is black.
    """
    common = {"model": "known", "nms": 0.5, "crop": 1.0, "threshold": 0.5, **COMMON}
    rnet = RNetSpec(size=24, max_candidates=9, **common)
    onet = ONetSpec(size=48, nms_metric="iou", **common)

    def read(images: np.ndarray) -> dict[str, np.ndarray]:
        half = images.shape[1] // 2
        means = images.astype(np.float32).mean(axis=(2, 3))
        brighter = (means[:, :half].mean(axis=1) - means[:, half:].mean(axis=1)) / 255
        return {
            "score": (1 / (1 + np.exp(-side * brighter))).astype(np.float32),
            "points": np.tile(FIVE_IN_BOX, (len(images), 1, 1)),
        }

    return OrientationCheck(FakeSession(rnet, read), FakeSession(onet, read), (rnet, onet))


def faces_at(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Faces:
    given = np.array(boxes, np.float32).reshape(-1, 4)
    side = given[:, None, 2:] - given[:, None, :2]
    points = (given[:, None, :2] + FIVE_IN_BOX * side).astype(np.float32)
    return Faces(given, np.full(len(given), score, np.float32), points)


@pytest.fixture
def halves() -> ImagePyramid:
    """Four tiles of 100 pixels with one white half each: the upper, the left, the lower and the right one."""
    tiles = np.zeros((100, 400, 3), np.uint8)
    tiles[:50, :100] = tiles[:, 100:150] = tiles[50:, 200:300] = tiles[:, 350:] = 255
    return ImagePyramid(tiles)


NO_LOGITS = np.zeros(4, np.float32)
TILES = ((0, 0, 100, 100), (100, 0, 200, 100), (200, 0, 300, 100), (300, 0, 400, 100))


def test_only_faces_that_another_turn_fits_better_are_wrong(halves: ImagePyramid) -> None:
    right = bright_at(6).right_way_round(halves, faces_at(*TILES), NO_LOGITS[:4])
    assert right.tolist() == [True, False, False, False]
    assert bright_at(6).right_way_round(halves, faces_at(), NO_LOGITS[:0]).tolist() == []


def test_a_low_logit_at_the_better_turn_proves_nothing(halves: ImagePyramid) -> None:
    assert bright_at(3.5).right_way_round(halves, faces_at(*TILES), NO_LOGITS[:4]).all()


def test_points_that_follow_the_turn_are_right_unless_the_face_lies_on_its_side(
    halves: ImagePyramid,
) -> None:
    faces = faces_at(*TILES[:3])
    faces.points[1:] = np.stack(
        [turns.points_before_turn(FIVE_IN_BOX[None], r, (2, 2))[0] for r in (90, 180)]
    )
    check = bright_at(6)
    assert check.right_way_round(halves, faces, NO_LOGITS[:3]).tolist() == [True, False, False]
    uncertain = replace(faces, scores=np.full(3, 0.1, np.float32))
    assert check.right_way_round(halves, uncertain, NO_LOGITS[:3]).all()


def test_r_net_reads_only_uncertain_faces_and_o_net_only_doubtful_ones(halves: ImagePyramid) -> None:
    check = bright_at(6)
    rnet, onet = check._rnet, check._onet
    assert isinstance(rnet, FakeSession)
    assert isinstance(onet, FakeSession)
    assert check.right_way_round(halves, faces_at(*TILES), np.full(4, 6.5, np.float32)).all()
    assert rnet.seen == []
    check.right_way_round(halves, faces_at(TILES[0]), NO_LOGITS[:1])
    assert onet.seen == []
    check.right_way_round(halves, faces_at(*TILES), NO_LOGITS[:4])
    assert onet.seen == [4 * 3]


def test_upright_means_up_to_45_degrees() -> None:
    faces = faces_at((0, 0, 10, 10), (0, 0, 10, 10), (0, 0, 10, 10))
    for i, angle in enumerate((0, 44, 46)):
        matrix = cv2.getRotationMatrix2D((5, 5), angle, 1.0)
        faces.points[i] = faces.points[i] @ matrix[:, :2].T + matrix[:, 2]
    assert is_upright(faces).tolist() == [True, True, False]
