"""Face detection by a cascade of three nets, as in MTCNN (Zhang et al., 2016), with either proposal net."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from app.errors import BadModel
from app.pipeline import orientation
from app.pipeline.anchor_free import AnchorFreeProposer
from app.pipeline.faces import NO_FACES, Faces
from app.pipeline.orientation import Orientation, OrientationCheck
from app.pipeline.proposals import CandidateLimit, Candidates, Proposer, Search
from app.pipeline.sliding_window import SlidingWindowProposer
from app.runtime.session import ModelSession
from app.runtime.timing import Timing
from app.vision import align, boxes
from app.vision.points import FIVE_MIRROR
from app.vision.pyramid import ImagePyramid
from app.vision.scores import logit, sigmoid
from app.vision.spec import AnchorFreeSpec, ONetSpec, PNetSpec, RNetSpec, ScoreCalibration

S = TypeVar("S", RNetSpec, ONetSpec)

_MAX_LOGIT = logit(np.ones(1, np.float32))
"""The logit of a net that is certain of a face."""

_REACH_MARGIN = np.float32(0.1)
"""Difference of logits that covers the rounding of scores when candidates are dropped early."""

CERTAIN_SCORE, CERTAIN_PER_FACE = 0.5, 2
"""Limit of certain candidates of R-Net: docs/experiments/detector-settings.md, "Crowds"."""


@dataclass(frozen=True)
class DetectOptions:
    """Options of a detection.

    Attributes:
        min_face_size: side of the smallest face in pixels.
        threshold: minimum score of a face, 0 to 1; that of the detector if None.
        max_faces: maximum number of faces, those with the highest scores; no limit if None.
        search_pixels: maximum number of pixels of the largest scale; that of the detector if None. A detector
            may reduce large images by default, so that it misses faces near the minimum size.
        orientation: whether to search the image turned, too, if it contains no upright face.
    """

    min_face_size: float = 20.0
    threshold: float | None = None
    max_faces: int | None = None
    search_pixels: float | None = None
    orientation: Orientation = "upright"


class Detector:
    """A face detector with three stages: a proposal net, R-Net and O-Net, which also gives five points.

    The score of a stage is that of its net. If the spec of O-Net gives the earlier nets a weight, the score
    is the sigmoid of the weighted mean of the logits of all nets so far.

    Args:
        sessions: the sessions of the stages `pnet`, `rnet` and `onet`.

    Attributes:
        spec: the spec of O-Net.

    Raises:
        BadModel: a stage is missing, or has the wrong kind of net.
    """

    def __init__(self, sessions: Mapping[str, ModelSession]) -> None:
        self._proposer, self._cell = _proposer(sessions.get("pnet"))
        self._rnet, self._rnet_spec = _stage(sessions, "rnet", RNetSpec)
        self._onet, self.spec = _stage(sessions, "onet", ONetSpec)
        self._orientation = OrientationCheck(self._rnet, self._onet, (self._rnet_spec, self.spec))

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.spec.model

    def enlarged_pixels(self, width: int, height: int, min_face_size: float) -> float:
        """Return the number of pixels of the largest scale that a detection needs.

        Args:
            width: width of the image in pixels.
            height: height of the image in pixels.
            min_face_size: side of the smallest face in pixels.
        """
        return width * height * (self._cell / min_face_size) ** 2

    def detect(self, picture: ImagePyramid, options: DetectOptions, timing: Timing) -> Faces:
        """Return the faces of an image, by descending score.

        Args:
            picture: the image.
            options: the options of the detection.
            timing: receives the times of the stages `pnet`, `rnet`, `onet` and `orientation`.
        """
        faces = self._search(picture, options, timing)
        if options.orientation == "auto" and not orientation.is_upright(faces).any():
            faces = orientation.search_turned(
                picture, faces, lambda turned: self._search(turned, options, timing), timing
            )
        return faces if options.max_faces is None else faces.take(np.arange(len(faces))[: options.max_faces])

    def _search(self, picture: ImagePyramid, options: DetectOptions, timing: Timing) -> Faces:
        search = Search(options.min_face_size, options.max_faces, options.search_pixels)
        threshold = self.spec.threshold if options.threshold is None else options.threshold
        with timing.stage("pnet"):
            candidates = self._within_reach(self._proposer.propose(picture, search), threshold)
        with timing.stage("rnet"):
            candidates = self.refine(picture, candidates, options.max_faces)
            candidates = self._within_reach(candidates, threshold)
        with timing.stage("onet"):
            faces, logits = self._output(picture, candidates, threshold)
        with timing.stage(orientation.STAGE):
            right = self._orientation.right_way_round(picture, faces, logits[:, 1:].mean(axis=1))
            faces = faces.take(np.flatnonzero(right))
        faces = replace(faces, boxes=boxes.clip(faces.boxes, picture.width, picture.height))
        return faces.take(np.flatnonzero(boxes.area(faces.boxes) > 0))

    def locate(self, picture: ImagePyramid, given: Float32[ndarray, "n 4"], timing: Timing) -> Faces:
        """Return the score and the five points of the face in each given box, in the order of the boxes.

        Runs O-Net twice: on the given box, then on the box regressed from it. The given boxes are returned
        unchanged.

        Args:
            picture: the image.
            given: boxes in pixels.
            timing: receives the time of the stage `onet`.
        """
        if len(given) == 0:
            return NO_FACES
        with timing.stage("onet"):
            regressed, _, _ = self.run_onet(picture, given)
            _, scores, points = self.run_onet(picture, regressed)
        return Faces(given, scores, points)

    def locate_turned(self, picture: ImagePyramid, given: Float32[ndarray, "n 4"], timing: Timing) -> Faces:
        """Return what `locate` returns, but read faces that are not upright at the turn with the best score.

        Args:
            picture: the image.
            given: boxes in pixels.
            timing: receives the times of the stages `onet` and `orientation`.
        """
        faces = self.locate(picture, given, timing)
        right = self.right_way_round(picture, faces, timing)
        wrong = ~(right & orientation.is_upright(faces))
        return orientation.locate_turned(picture, faces, wrong, self.locate, timing)

    def right_way_round(self, picture: ImagePyramid, located: Faces, timing: Timing) -> Bool[ndarray, " n"]:
        """Return for each face of `locate` whether its points lie the right way round.

        Args:
            picture: the image.
            located: the faces.
            timing: receives the time of the stage `orientation`.
        """
        with timing.stage(orientation.STAGE):
            return self._orientation.right_way_round(picture, located, np.zeros(len(located), np.float32))

    def refine_points(
        self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]
    ) -> Float32[ndarray, "n 5 2"]:
        """Return more accurate five points, for embedding. This costs one more batch of O-Net.

        O-Net runs on the face after alignment by the given points, and on its mirror image. The result is the
        mean of the given points and of the mean of both predictions.

        Args:
            picture: the image.
            points: five points per face in pixels.
        """
        if len(points) == 0:
            return points
        size = self.spec.size
        transforms = align.umeyama(points, align.template("onet", size))
        crops = align.warp(picture, transforms, size)
        out = self._onet.run(np.concatenate([crops, crops[:, :, ::-1]]))["points"].reshape(2, -1, 5, 2)
        mirrored = out[1][:, FIVE_MIRROR] * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)
        refined = align.apply(align.invert(transforms), (out[0] + mirrored) / 2 * size - np.float32(0.5))
        return (points + refined) / 2

    def propose(self, picture: ImagePyramid, min_face: float) -> Candidates:
        """Return the candidates of the proposal net, by descending score.

        Args:
            picture: the image.
            min_face: side of the smallest face in pixels.
        """
        return self._proposer.propose(picture, Search(min_face))

    def refine(
        self, picture: ImagePyramid, candidates: Candidates, max_faces: int | None = None
    ) -> Candidates:
        """Return the candidates that R-Net accepts, with adjusted boxes, by descending score.

        Args:
            picture: the image.
            candidates: the candidates of the proposal net.
            max_faces: number of faces that the detection may return; no limit if None.
        """
        spec = self._rnet_spec
        squares = boxes.square(candidates.boxes, spec.crop)
        out = self._rnet.run(align.warp(picture, align.of_boxes(squares, spec.size), spec.size))
        regressed = boxes.apply_offsets(squares, out["offsets"])
        moved = boxes.interpolate(candidates.boxes, regressed, spec.box_blend)
        scores, logits = self._fuse_scores(candidates.logits, out["score"])
        refined = Candidates(moved, scores, logits).take(np.flatnonzero(scores > spec.threshold))
        refined = refined.take(boxes.nms(refined.boxes, refined.scores, spec.nms))
        limit = CandidateLimit(spec.max_candidates, CERTAIN_SCORE, CERTAIN_PER_FACE)
        return refined.take(np.arange(limit.count(refined.scores, max_faces))[: len(refined.scores)])

    def run_onet(
        self, picture: ImagePyramid, given: Float32[ndarray, "n 4"]
    ) -> tuple[Float32[ndarray, "n 4"], Float32[ndarray, " n"], Float32[ndarray, "n 5 2"]]:
        """Return the outputs of O-Net for boxes.

        Args:
            picture: the image.
            given: boxes in pixels.

        Returns:
            The regressed boxes, the scores of O-Net alone, and the five points, in pixels of the image.
        """
        size = self.spec.size
        squares = boxes.square(given, self.spec.crop)
        out = self._onet.run(align.warp(picture, align.of_boxes(squares, size), size))
        side = squares[:, None, 2:] - squares[:, None, :2]
        points = squares[:, None, :2] + out["points"].reshape(-1, 5, 2) * side - np.float32(0.5)
        return boxes.apply_offsets(squares, out["offsets"]), out["score"], points

    def _output(
        self, picture: ImagePyramid, candidates: Candidates, threshold: float
    ) -> tuple[Faces, Float32[ndarray, "n nets"]]:
        """Return the faces, whose boxes are not clipped to the image, and the logits of all nets."""
        regressed, scores, points = self.run_onet(picture, candidates.boxes)
        moved = boxes.interpolate(candidates.boxes, regressed, self.spec.box_blend)
        fused, logits = self._fuse_scores(candidates.logits, scores)
        scores = calibrate(fused, self.spec.score_calibration)
        passed = np.flatnonzero(scores > threshold)
        keep = passed[boxes.nms(moved[passed], scores[passed], self.spec.nms, self.spec.nms_metric)]
        return Faces(moved, scores, points).take(keep), logits[keep]

    def _fuse_scores(
        self, earlier: Float32[ndarray, "n nets"], scores: Float32[ndarray, " n"]
    ) -> tuple[Float32[ndarray, " n"], Float32[ndarray, "n more"]]:
        """Return the scores of a stage fused with those of the earlier nets, and the logits of all nets."""
        logits = np.concatenate([earlier, logit(scores)[:, None]], axis=1)
        weights = self._score_weights()[: logits.shape[1]]
        if not weights[:2].any():
            return scores, logits
        return sigmoid(logits @ weights / weights.sum()), logits

    def _score_weights(self) -> Float32[ndarray, " nets"]:
        weighting = self.spec.score_weights
        return np.array([weighting.proposal, weighting.rnet, 1], np.float32)

    def _within_reach(self, candidates: Candidates, threshold: float) -> Candidates:
        """Return the candidates whose final score exceeds the threshold if the later nets are certain.

        This saves crops and changes no answer. The other candidates cannot be returned. They cannot suppress
        one of these either, because the later nets have the same weights for all candidates.
        """
        weights = self._score_weights()
        known = candidates.logits.shape[1]
        best = candidates.logits @ weights[:known] + weights[known:].sum() * _MAX_LOGIT
        least = np.float32(least_logit(threshold, self.spec.score_calibration)) - _REACH_MARGIN
        return candidates.take(np.flatnonzero(best >= least * weights.sum()))


def calibrate(scores: Float32[ndarray, " n"], curve: ScoreCalibration) -> Float32[ndarray, " n"]:
    """Return calibrated scores: the sigmoid of a piecewise linear function of the logits.

    Args:
        scores: scores, 0 to 1.
        curve: the parameters of the function.
    """
    if (curve.bias, curve.slope) == (0, 1):
        return scores
    logits = logit(scores)
    return sigmoid(logits + curve.bias + (curve.slope - 1) * np.maximum(0, logits - np.float32(curve.knee)))


def least_logit(threshold: float, curve: ScoreCalibration) -> float:
    """Return the logit whose calibrated score is a threshold; the inverse of `calibrate`.

    Args:
        threshold: a calibrated score, 0 to 1.
        curve: the parameters of the calibration.
    """
    wanted = float(logit(np.array([threshold], np.float32))[0]) - curve.bias
    return wanted if wanted <= curve.knee else curve.knee + (wanted - curve.knee) / curve.slope


def _proposer(session: ModelSession | None) -> tuple[Proposer, int]:
    """Return the proposal stage, and the side in pixels of the smallest faces that it finds at a scale.

    Raises:
        BadModel: there is no proposal net.
    """
    match session and session.spec:
        case PNetSpec() as spec:
            return SlidingWindowProposer(session, spec), spec.cell  # type: ignore[arg-type] # not None
        case AnchorFreeSpec() as spec:
            return AnchorFreeProposer(session, spec), spec.cell  # type: ignore[arg-type] # not None
    raise BadModel("The detector has no proposal net (pnet).")


def _stage(sessions: Mapping[str, ModelSession], stage: str, spec_type: type[S]) -> tuple[ModelSession, S]:
    session = sessions.get(stage)
    if session is None or not isinstance(session.spec, spec_type):
        raise BadModel(f"The detector has no {stage}.")
    return session, session.spec
