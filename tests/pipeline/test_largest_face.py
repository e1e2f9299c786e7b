"""The search for the largest face alone: large faces first, and no smaller ones than can matter."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pytest

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import Faces
from app.pipeline.largest_face import MAX_FACES, detect_largest
from app.pipeline.orientation import is_upright
from app.runtime.timing import Timing
from app.vision.boxes import iou
from app.vision.image import decode
from app.vision.pyramid import Image, ImagePyramid
from tests.sessions import model

PHOTOS = Path("tests/photos")
DEFAULTS = DetectOptions()


@pytest.fixture(scope="module", params=["cascade", "mtcnn"])
def detector(request: pytest.FixtureRequest) -> Detector:
    return Detector(model(request.param).sessions)


@pytest.fixture
def searched(detector: Detector) -> Iterator[list[float]]:
    """The smallest faces of the searches of the proposal net, in order."""
    sizes: list[float] = []
    propose = detector._proposer.propose

    def record(picture: ImagePyramid, search: object) -> object:
        sizes.append(search.min_face)  # type: ignore[attr-defined]
        return propose(picture, search)  # type: ignore[arg-type]

    with patch.object(detector._proposer, "propose", record):
        yield sizes


def photo(name: str) -> Image:
    return decode((PHOTOS / name).read_bytes(), 50_000_000, "image")


def on_canvas(portraits: list[tuple[int, int, int]], width: int, height: int) -> Image:
    """Return a grey image with portraits, each given by x, y and its side in pixels."""
    canvas = np.full((height, width, 3), 128, np.uint8)
    for x, y, side in portraits:
        small = cv2.resize(photo("astronaut.png"), (side, side), interpolation=cv2.INTER_AREA)
        canvas[y : y + side, x : x + side] = small
    return canvas


def test_every_search_limits_the_faces(detector: Detector) -> None:
    """Otherwise a picture that is full of small faces needs gigabytes."""
    with patch.object(detector._proposer, "propose", wraps=detector._proposer.propose) as propose:
        largest(detector, np.full((300, 400, 3), 128, np.uint8))
    assert {call.args[1].max_faces for call in propose.call_args_list} == {MAX_FACES}


def tilted(image: Image, degrees: float) -> Image:
    """Return an image of the same size that is turned counterclockwise about its centre, on grey."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(image, turn, (width, height), borderValue=(128, 128, 128))


def largest(detector: Detector, image: Image, options: DetectOptions = DEFAULTS) -> Faces:
    return detect_largest(detector, ImagePyramid(image), options, Timing())


def largest_of_all(detector: Detector, image: Image, options: DetectOptions = DEFAULTS) -> Faces:
    picture = ImagePyramid(image)
    return detector.detect(picture, options, Timing()).largest(picture.width, picture.height)


def assert_same_face(found: Faces, expected: Faces) -> None:
    assert len(found) == len(expected) == 1
    assert iou(found.boxes, expected.boxes)[0, 0] > 0.8
    eyes = np.linalg.norm(expected.points[0, 0] - expected.points[0, 1])
    assert np.linalg.norm(found.points - expected.points, axis=2).max() < 0.1 * eyes


@pytest.mark.parametrize("name", ["obama.jpg", "obama2.jpg", "biden.jpg", "astronaut.png"])
def test_the_face_of_a_portrait_is_the_largest_of_all(detector: Detector, name: str) -> None:
    image = photo(name)
    assert_same_face(largest(detector, image), largest_of_all(detector, image))


def test_a_large_face_ends_the_search(detector: Detector, searched: list[float]) -> None:
    image = np.ascontiguousarray(photo("obama.jpg")[50:600, 200:750])  # the face has 270 by 350 pixels
    assert len(largest(detector, image)) == 1
    assert searched == [0.25 * min(image.shape[:2])]


def test_a_small_face_is_searched_down_to_the_smallest_size(
    detector: Detector, searched: list[float]
) -> None:
    image = on_canvas([(500, 300, 130)], 1000, 800)  # the face has about 30 pixels
    expected = largest_of_all(detector, image)
    searched.clear()
    assert_same_face(largest(detector, image), expected)
    np.testing.assert_allclose(searched, [200, 200 / 3, 20])


def test_a_face_near_the_smallest_searched_one_does_not_end_the_search(
    detector: Detector, searched: list[float]
) -> None:
    image = on_canvas([(100, 60, 512)], 620, 620)  # the face has 100 by 130 pixels, and the search 155
    expected = largest_of_all(detector, image)
    searched.clear()
    assert_same_face(largest(detector, image), expected)
    assert len(searched) > 1


@pytest.mark.parametrize("side", [400, 460])
def test_a_central_face_of_similar_size_is_preferred_as_in_the_whole_search(
    detector: Detector, side: int
) -> None:
    image = on_canvas([(0, 0, 512), (760, 300, side)], 1700, 900)
    expected = largest_of_all(detector, image)
    assert_same_face(largest(detector, image), expected)
    assert (expected.boxes[0, 0] > 600) == (side == 460)  # the face at the edge is clearly larger than 400


def test_the_smallest_size_of_the_request_holds(detector: Detector, searched: list[float]) -> None:
    image = on_canvas([(500, 300, 130)], 1000, 800)
    assert len(largest(detector, image, DetectOptions(min_face_size=100))) == 0
    assert searched == [100]  # no first search, because 200 is less than three times as large


def test_without_a_face_the_result_is_empty(detector: Detector) -> None:
    assert len(largest(detector, np.full((400, 600, 3), 128, np.uint8))) == 0


def test_a_turned_face_is_found_if_no_face_is_upright(detector: Detector) -> None:
    turned = np.ascontiguousarray(np.rot90(photo("astronaut.png")))
    options = DetectOptions(orientation="auto")
    found = largest(detector, turned, options)
    assert_same_face(found, largest_of_all(detector, turned, options))
    assert found.rotations is not None
    assert found.rotations[0] != 0


def test_a_face_on_its_side_does_not_end_the_search_for_turned_faces(detector: Detector) -> None:
    image = tilted(photo("obama2.jpg")[:900], 55)
    options = DetectOptions(orientation="auto")
    first = detector.detect(ImagePyramid(image), DetectOptions(min_face_size=156), Timing())
    assert len(first) == 1  # the first search finds the face, with inaccurate points
    assert not is_upright(first)[0]
    found, expected = largest(detector, image, options), largest_of_all(detector, image, options)
    assert_same_face(found, expected)
    assert found.rotations is not None
    np.testing.assert_array_equal(found.rotations, [90])
