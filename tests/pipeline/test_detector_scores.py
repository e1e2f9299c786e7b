"""How the stages' boxes and scores become those of the answer, on nets with known outputs."""

import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from app.pipeline.detector import DetectOptions, Detector, calibrate, least_logit
from app.pipeline.faces import Faces
from app.pipeline.proposals import Candidates
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from app.vision.spec import AnchorFreeSpec, ONetSpec, RNetSpec, ScoreCalibration, ScoreWeights
from tests.fakes import COMMON, FIVE_IN_BOX, FakeSession

CANDIDATE = (16, 16, 56, 56)
P_SCORE, R_SCORE, O_SCORE = 0.9, 0.6, 0.8
P_LOGIT, R_LOGIT, O_LOGIT = math.log(9), math.log(1.5), math.log(4)
R_OFFSETS = (0.1, -0.2, 0.3, 0.4)
O_OFFSETS = (-0.1, 0.05, 0.15, -0.2)

PICTURE = ImagePyramid(np.zeros((128, 128, 3), np.uint8))
CALIBRATION = ScoreCalibration(bias=-1.6, knee=0.18, slope=2.36)


def detector(
    weights: ScoreWeights | None = None,
    calibration: ScoreCalibration | None = None,
    rnet_blend: float = 1,
    onet_blend: float = 1,
) -> Detector:
    """Return a detector that proposes `CANDIDATE` in `PICTURE`, for `min_face_size=12`, and nothing else."""
    common: dict[str, Any] = {"model": "known", "nms": 0.5, **COMMON}
    pnet = AnchorFreeSpec(
        strides=(8,), window=96, factor=0.4, best_cell=12, threshold=0.3, max_candidates=9, **common
    )
    rnet = RNetSpec(size=24, crop=1, threshold=0.3, max_candidates=9, box_blend=rnet_blend, **common)
    onet = ONetSpec(
        size=48,
        crop=1,
        threshold=0.01,
        nms_metric="iou",
        score_weights=weights or ScoreWeights(),
        score_calibration=calibration or ScoreCalibration(),
        box_blend=onet_blend,
        **common,
    )

    def propose(images: ndarray) -> dict[str, ndarray]:
        cells = len(images), images.shape[1] // 8, images.shape[2] // 8
        score, offsets = np.zeros(cells, np.float32), np.zeros((*cells, 4), np.float32)
        if images.shape[1] == 128:  # the scale in which the picture has its own size
            score[:, 4, 4], offsets[:, 4, 4] = P_SCORE, (-2, -2, 2, 2)
        return {"score8": score, "offsets8": offsets}

    def refine(images: ndarray, score: float, offsets: tuple[float, ...]) -> dict[str, ndarray]:
        count = len(images)
        return {
            "score": np.full(count, score, np.float32),
            "offsets": np.tile(np.array(offsets, np.float32), (count, 1)),
            "points": np.tile(FIVE_IN_BOX, (count, 1, 1)),
        }

    return Detector(
        {
            "pnet": FakeSession(pnet, propose),
            "rnet": FakeSession(rnet, lambda images: refine(images, R_SCORE, R_OFFSETS)),
            "onet": FakeSession(onet, lambda images: refine(images, O_SCORE, O_OFFSETS)),
        }
    )


def refined(known: Detector) -> Candidates:
    return known.refine(PICTURE, known.propose(PICTURE, 12))


def detected(known: Detector) -> Faces:
    return known.detect(PICTURE, DetectOptions(min_face_size=12), Timing())


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_the_fake_net_proposes_the_candidate() -> None:
    candidates = detector().propose(PICTURE, 12)
    assert candidates.boxes.tolist() == [list(CANDIDATE)]
    assert candidates.scores == pytest.approx([P_SCORE])
    assert candidates.logits == pytest.approx(np.array([[P_LOGIT]]), abs=1e-5)


@pytest.mark.parametrize(
    ("blend", "box"),
    [(0, CANDIDATE), (0.25, (17, 14, 59, 60)), (1, (20, 8, 68, 72))],  # 40 pixels times the offsets
)
def test_r_nets_box_is_blended_into_the_candidate(blend: float, box: tuple[float, ...]) -> None:
    for onet_blend in (0, 1):
        known = detector(rnet_blend=blend, onet_blend=onet_blend)
        assert refined(known).boxes == pytest.approx(np.array([box]), abs=1e-4)


@pytest.mark.parametrize(
    ("blend", "box"),
    [
        (0, (17, 14, 59, 60)),
        (0.5, (13.7, 15.15, 63.45, 55.4)),
        (1, (10.4, 16.3, 67.9, 50.8)),  # the square (15, 14, 61, 60), moved by 46 pixels times the offsets
    ],
)
def test_o_nets_box_is_blended_into_that_of_r_net(blend: float, box: tuple[float, ...]) -> None:
    found = detected(detector(rnet_blend=0.25, onet_blend=blend))
    assert found.boxes == pytest.approx(np.array([box]), abs=1e-4)
    assert found.points == pytest.approx(FIVE_IN_BOX[None] * 46 + np.array([14.5, 13.5]), abs=1e-4)


@pytest.mark.parametrize(
    ("weights", "after_rnet", "after_onet"),
    [
        (ScoreWeights(), R_LOGIT, O_LOGIT),
        (ScoreWeights(proposal=2), (2 * P_LOGIT) / 2, (2 * P_LOGIT + O_LOGIT) / 3),
        (ScoreWeights(rnet=0.5), R_LOGIT, (0.5 * R_LOGIT + O_LOGIT) / 1.5),
        (
            ScoreWeights(proposal=2, rnet=0.5),
            (2 * P_LOGIT + 0.5 * R_LOGIT) / 2.5,
            (2 * P_LOGIT + 0.5 * R_LOGIT + O_LOGIT) / 3.5,
        ),
    ],
)
def test_a_score_is_the_weighted_mean_of_the_logits_of_the_nets_so_far(
    weights: ScoreWeights, after_rnet: float, after_onet: float
) -> None:
    known = detector(weights)
    assert refined(known).scores == pytest.approx([sigmoid(after_rnet)], abs=1e-6)
    assert refined(known).logits == pytest.approx(np.array([[P_LOGIT, R_LOGIT]]), abs=1e-5)
    assert detected(known).scores == pytest.approx([sigmoid(after_onet)], abs=1e-6)


@pytest.mark.parametrize(
    ("logit", "calibrated"),
    [
        (-4, -5.6),  # below the knee: only the bias, -1.6
        (-1, -2.6),
        (0, -1.6),
        (0.18, -1.42),  # at the knee
        (0.28, -1.184),  # above it: 0.28 - 1.6 + 1.36 * 0.1
        (1, 0.5152),  # 1 - 1.6 + 1.36 * 0.82
        (3, 5.2352),  # 3 - 1.6 + 1.36 * 2.82
    ],
)
def test_calibration_adds_the_bias_and_steepens_above_the_knee(logit: float, calibrated: float) -> None:
    (score,) = calibrate(np.array([sigmoid(logit)], np.float32), CALIBRATION)
    assert score == pytest.approx(sigmoid(calibrated), abs=2e-6)


@pytest.mark.parametrize(
    ("curve", "calibrated"),
    [
        (ScoreCalibration(), 1),
        (ScoreCalibration(knee=0.5), 1),
        (ScoreCalibration(bias=0.5), 1.5),
        (ScoreCalibration(slope=2), 2),
        (ScoreCalibration(slope=0.5, knee=0.2), 0.6),
        (ScoreCalibration(slope=2, knee=2), 1),
    ],
)
def test_each_number_of_a_calibration_has_its_effect_alone(
    curve: ScoreCalibration, calibrated: float
) -> None:
    (score,) = calibrate(np.array([sigmoid(1)], np.float32), curve)
    assert score == pytest.approx(sigmoid(calibrated), abs=1e-6)


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=9))
def test_a_calibration_keeps_the_order_of_scores(scores: list[float]) -> None:
    ordered = np.sort(np.array(scores, np.float32))
    assert np.all(np.diff(calibrate(ordered, CALIBRATION)) >= 0)
    assert calibrate(ordered, CALIBRATION).dtype == np.float32


@given(st.floats(0.01, 0.95))
def test_the_least_logit_of_a_threshold_has_the_threshold_as_its_score(threshold: float) -> None:
    for curve in (CALIBRATION, ScoreCalibration(), ScoreCalibration(bias=0.4, knee=-1, slope=0.5)):
        fused = np.array([sigmoid(least_logit(threshold, curve))], np.float32)
        assert calibrate(fused, curve)[0] == pytest.approx(threshold, abs=1e-4)


def crops_and_faces(threshold: float, weights: ScoreWeights) -> tuple[int, int, int]:
    """Return the number of crops of R-Net and of O-Net in a detection, and the number of faces."""
    known = detector(weights)
    count = len(known.detect(PICTURE, DetectOptions(min_face_size=12, threshold=threshold), Timing()))
    rnet, onet = (cast(FakeSession, net) for net in (known._rnet, known._onet))
    return sum(rnet.seen), sum(onet.seen), count


def test_later_nets_do_not_run_on_candidates_that_cannot_reach_the_threshold() -> None:
    weights = ScoreWeights(proposal=20, rnet=5)
    certain = math.log((1 - 1e-6) / 1e-6)
    after_pnet = (20 * P_LOGIT + 6 * certain) / 26
    after_rnet = (20 * P_LOGIT + 5 * R_LOGIT + certain) / 26
    final = (20 * P_LOGIT + 5 * R_LOGIT + O_LOGIT) / 26
    assert final < after_rnet < after_pnet
    assert crops_and_faces(sigmoid(after_pnet + 0.2), weights) == (0, 0, 0)
    assert crops_and_faces(sigmoid(after_pnet - 0.01), weights) == (1, 0, 0)
    assert crops_and_faces(sigmoid(after_rnet + 0.2), weights) == (1, 0, 0)
    assert crops_and_faces(sigmoid(after_rnet - 0.01), weights) == (1, 1, 0)
    assert crops_and_faces(sigmoid(final - 0.01), weights)[2] == 1
    assert crops_and_faces(0.999, ScoreWeights()) == (1, 1, 0)  # the score is that of O-Net alone


def test_the_final_score_is_calibrated_and_compared_with_the_threshold() -> None:
    known = detector(ScoreWeights(proposal=2, rnet=0.5), CALIBRATION)
    fused = (2 * P_LOGIT + 0.5 * R_LOGIT + O_LOGIT) / 3.5
    expected = sigmoid(fused - 1.6 + 1.36 * (fused - 0.18))
    assert detected(known).scores == pytest.approx([expected], abs=1e-6)
    for threshold, count in ((expected - 0.01, 1), (expected + 0.01, 0)):
        options = DetectOptions(min_face_size=12, threshold=threshold)
        assert len(known.detect(PICTURE, options, Timing())) == count
    assert refined(known).scores == pytest.approx(  # that of R-Net is not
        [sigmoid((2 * P_LOGIT + 0.5 * R_LOGIT) / 2.5)], abs=1e-6
    )


def test_scores_of_given_boxes_are_o_nets_own() -> None:
    known = detector(ScoreWeights(proposal=2, rnet=0.5), CALIBRATION)
    given_boxes = np.array([CANDIDATE], np.float32)
    assert known.locate(PICTURE, given_boxes, Timing()).scores == pytest.approx([O_SCORE])
