from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.errors import BadModel
from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import Faces
from app.runtime.timing import Timing
from app.vision import align
from app.vision.boxes import iou, overlap
from app.vision.image import decode
from app.vision.points import FIVE_MIRROR
from app.vision.pyramid import Image, ImagePyramid
from app.vision.scores import logit
from app.vision.spec import ScoreCalibration, ScoreWeights
from tests.sessions import model

PHOTOS = Path("tests/photos")


@pytest.fixture(scope="module", params=["cascade", "mtcnn"])
def detector(request: pytest.FixtureRequest) -> Detector:
    return Detector(model(request.param).sessions)


@cache
def photo(name: str) -> Image:
    return decode((PHOTOS / name).read_bytes(), 50_000_000, "image")


def detect(detector: Detector, image: Image, **options: float) -> Faces:
    return detector.detect(ImagePyramid(image), DetectOptions(**options), Timing())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("obama.jpg", (350, 120, 620, 470)),
        ("astronaut.png", (175, 65, 275, 190)),
    ],
)
def test_one_face_is_found_where_it_is(
    detector: Detector, name: str, box: tuple[float, float, float, float]
) -> None:
    found = detect(detector, photo(name))
    assert len(found) == 1
    assert found.scores[0] > 0.95
    assert iou(found.boxes, np.array([box], np.float32))[0, 0] > 0.5


def test_points_lie_where_eyes_nose_and_mouth_are(detector: Detector) -> None:
    found = detect(detector, photo("astronaut.png"))
    right_eye, left_eye, nose, mouth_right, mouth_left = found.points[0]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_eye[1] < nose[1] < mouth_right[1]
    assert mouth_right[0] < mouth_left[0]
    x1, y1, x2, y2 = found.boxes[0]
    assert np.all((found.points[0] > [x1, y1]) & (found.points[0] < [x2, y2]))


@pytest.mark.parametrize("angle", [-25, 0, 25])
def test_refined_points_turn_with_the_face(detector: Detector, angle: float) -> None:
    image = photo("astronaut.png")
    points = detect(detector, image).points
    middle = (float(points[0, 2, 0]), float(points[0, 2, 1]))
    matrix = cv2.getRotationMatrix2D(middle, angle, 1.0)
    turned = cv2.warpAffine(image, matrix, image.shape[1::-1])
    moved = align.apply(matrix[None].astype(np.float32), points)
    here, there = (
        detector.refine_points(ImagePyramid(image), points),
        detector.refine_points(ImagePyramid(turned), moved),
    )
    eyes = np.linalg.norm(points[0, 0] - points[0, 1])
    off = np.linalg.norm(align.apply(matrix[None].astype(np.float32), here) - there, axis=2)
    assert off.max() < 0.06 * eyes
    assert np.linalg.norm(here - points, axis=2).max() < 0.25 * eyes


def test_refined_points_of_a_mirrored_picture_are_the_mirrored_ones(detector: Detector) -> None:
    image = photo("obama.jpg")
    points = detect(detector, image).points
    flip = np.array([[-1, 1], [image.shape[1] - 1, 0]], np.float32)
    mirrored = points[:, FIVE_MIRROR] * flip[0] + flip[1]
    here = detector.refine_points(ImagePyramid(image), points)
    there = detector.refine_points(ImagePyramid(np.ascontiguousarray(image[:, ::-1])), mirrored)
    np.testing.assert_allclose(there[:, FIVE_MIRROR] * flip[0] + flip[1], here, atol=1.5)


def test_no_points_stay_none(detector: Detector) -> None:
    assert detector.refine_points(
        ImagePyramid(photo("obama.jpg")), np.empty((0, 5, 2), np.float32)
    ).shape == (
        0,
        5,
        2,
    )


@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0])
def test_the_same_face_at_another_size(detector: Detector, scale: float) -> None:
    image = photo("astronaut.png")
    here = detect(detector, image)
    there = detect(detector, cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    assert len(there) == 1
    assert iou(there.boxes / np.float32(scale), here.boxes)[0, 0] > 0.8


def test_a_shifted_picture_shifts_the_answer(detector: Detector) -> None:
    image = photo("astronaut.png")
    padded = np.pad(image, ((37, 0), (51, 0), (0, 0)))
    here, there = detect(detector, image), detect(detector, padded)
    moved = there.boxes - np.array([51, 37, 51, 37], np.float32)
    assert iou(moved, here.boxes)[0, 0] > 0.85


def test_faces_smaller_than_the_least_size_are_not_sought(detector: Detector) -> None:
    image = photo("astronaut.png")
    height = detect(detector, image).boxes[0, 3] - detect(detector, image).boxes[0, 1]
    assert len(detect(detector, image, min_face_size=float(height) / 2)) == 1
    assert len(detect(detector, image, min_face_size=float(height) * 3)) == 0


def test_threshold_and_most_faces(detector: Detector) -> None:
    two = np.concatenate([photo("astronaut.png"), photo("astronaut.png")], axis=1)
    found = detect(detector, two)
    assert len(found) == 2
    assert found.scores[0] >= found.scores[1]
    assert len(detect(detector, two, max_faces=1)) == 1
    assert len(detect(detector, two, threshold=1.0)) == 0
    assert len(detect(detector, two, threshold=0.0)) >= 2


@pytest.mark.parametrize("shape", [(1, 1), (11, 500), (12, 12), (5, 5000), (24, 24)])
def test_pictures_too_small_for_a_face_are_ordinary(detector: Detector, shape: tuple[int, int]) -> None:
    found = detect(detector, np.full((*shape, 3), 128, np.uint8))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.points.shape == (0, 5, 2)


def test_noise_is_bounded_and_holds_no_face(detector: Detector) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (600, 800, 3), dtype=np.uint8)
    assert len(detect(detector, noise)) == 0


def test_survivors_do_not_overlap_and_lie_in_the_picture(detector: Detector) -> None:
    image = np.concatenate([photo("astronaut.png")[:, i * 40 :][:, :300] for i in range(3)], axis=1)
    found = detect(detector, image, threshold=0.1)
    overlaps = overlap(found.boxes, found.boxes, detector.spec.nms_metric)
    np.fill_diagonal(overlaps, 0)
    assert overlaps.max(initial=0) <= detector.spec.nms + 1e-6
    assert np.all(found.boxes >= 0)
    assert np.all(found.boxes[:, 2] <= image.shape[1])


def test_given_boxes_are_kept_in_order_with_points_and_scores(detector: Detector) -> None:
    image = photo("astronaut.png")
    face = detect(detector, image)
    given = np.concatenate([np.array([[300, 300, 400, 400]], np.float32), face.boxes])
    located = detector.locate(ImagePyramid(image), given, Timing())
    assert np.array_equal(located.boxes, given)
    assert located.scores[0] < 0.5 < located.scores[1]
    side = face.boxes[0, 3] - face.boxes[0, 1]
    assert np.abs(located.points[1] - face.points[0]).max() < 0.05 * side
    assert len(detector.locate(ImagePyramid(image), given[:0], Timing())) == 0


def with_weights(detector: Detector, proposal: float, rnet: float) -> Detector:
    """Return the same nets with other score weights and without a calibration."""
    other = Detector(model(detector.name).sessions)
    other.spec = detector.spec.model_copy(
        update={
            "score_weights": ScoreWeights(proposal=proposal, rnet=rnet),
            "score_calibration": ScoreCalibration(),
        }
    )
    return other


def test_a_fused_score_is_the_weighted_mean_of_logits(detector: Detector) -> None:
    picture = ImagePyramid(photo("astronaut.png"))
    alone, fused = with_weights(detector, 0, 0), with_weights(detector, 0.5, 1)
    first = fused.propose(picture, 40)
    assert len(first.scores) > 1
    odds = np.log(first.scores / (1 - first.scores))
    np.testing.assert_allclose(first.logits[:, 0], odds, rtol=1e-4)
    second = fused.refine(picture, first)
    mean = second.logits @ np.array([0.5, 1], np.float32) / 1.5
    np.testing.assert_allclose(np.log(second.scores / (1 - second.scores)), mean, rtol=1e-3)
    own = alone.refine(picture, alone.propose(picture, 40))
    np.testing.assert_allclose(np.log(own.scores / (1 - own.scores)), own.logits[:, 1], rtol=1e-2)
    (face,) = detect(fused, photo("astronaut.png"), threshold=0.5, min_face_size=40).scores
    (plain,) = detect(alone, photo("astronaut.png"), threshold=0.5, min_face_size=40).scores
    assert 0.5 < face < 1
    assert face != plain
    _, scores, _ = fused.run_onet(picture, second.boxes)
    means = (second.logits @ np.array([0.5, 1], np.float32) + logit(scores)) / 2.5
    assert logit(np.array([face])) == pytest.approx(means.max(), abs=1e-2)


VIEWS = {
    "upright": lambda image: image,
    "upside down": lambda image: image[::-1],
    "negative": lambda image: 255 - image,
    "turned": lambda image: image.transpose(1, 0, 2),
}


@pytest.mark.parametrize(
    ("name", "view", "threshold", "scores", "boxes"),
    [
        ("cascade", "upright", 0.08, [0.998737], [(177.21, 63.56, 268.78, 175.45)]),
        (
            "cascade",
            "upside down",
            0.06,
            [0.099015, 0.063039],  # the face itself is dropped: its points would lie the wrong way round
            [(50.71, 0, 188.96, 96.09), (25.95, 0, 407, 433.38)],
        ),
        ("cascade", "negative", 0.08, [0.764857], [(178.25, 66.77, 267.51, 172.95)]),
        (
            "mtcnn",
            "upright",
            0.06,
            [0.999896, 0.071284],
            [(177.37, 60.07, 266.03, 172.66), (161.41, 245.60, 179.78, 266.38)],
        ),
        ("mtcnn", "negative", 0.06, [0.523544], [(143.67, 349.15, 196.94, 414.46)]),
        ("mtcnn", "turned", 0.06, [0.114924], [(371.20, 262.55, 432.72, 326.00)]),
        (
            "mtcnn_thorough",
            "upright",
            0.4,
            [0.998859, 0.755461, 0.479243],
            [
                (179.95, 60.24, 266.43, 172.94),
                (144.30, 203.51, 173.64, 240.68),
                (161.41, 245.60, 179.78, 266.38),
            ],
        ),
    ],
)
def test_served_detectors_answer_with_these_scores_and_boxes(
    name: str, view: str, threshold: float, scores: list[float], boxes: list[tuple[float, ...]]
) -> None:
    """Compare with stored answers. Unusual views have scores on both sides of the calibration's knee."""
    image = np.ascontiguousarray(VIEWS[view](photo("astronaut.png")))
    found = detect(Detector(model(name).sessions), image, threshold=threshold)
    assert found.scores.tolist() == pytest.approx(scores, abs=1e-4)
    assert found.boxes == pytest.approx(np.array(boxes), abs=0.02)


def test_stages_are_timed(detector: Detector) -> None:
    timing = Timing()
    detector.detect(ImagePyramid(photo("astronaut.png")), DetectOptions(), timing)
    assert list(timing.ms) == ["pnet", "rnet", "onet", "orientation"]
    assert all(ms > 0 for ms in timing.ms.values())


@pytest.mark.parametrize("stage", ["pnet", "rnet", "onet"])
def test_a_detector_needs_its_three_nets(detector: Detector, stage: str) -> None:
    sessions = model(detector.name).sessions
    with pytest.raises(BadModel, match=stage):
        Detector({name: session for name, session in sessions.items() if name != stage})
