"""Detection: the MTCNN cascade (Zhang et al., 2016) over a packed pyramid."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadModel
from app.pipeline.faces import NO_FACES, Faces, Timing
from app.pipeline.proposals import Candidates, log_odds, proposer
from app.runtime.session import LaneSession, ModelSession
from app.vision import align, boxes
from app.vision.points import FIVE_MIRROR
from app.vision.pyramid import Octaves
from app.vision.spec import ONetSpec, PNetSpec, RNetSpec

S = TypeVar("S", PNetSpec, RNetSpec, ONetSpec)


@dataclass(frozen=True)
class DetectOptions:
    """`min_face_size` in pixels; `threshold` of the final score, the model's own if None."""

    min_face_size: float = 20.0
    threshold: float | None = None
    max_faces: int | None = None


class Detector:
    """P-, R- and O-Net: candidates from all scales, refined twice, with five points.

    A stage's score is its net's; or, where O-Net's spec trusts the earlier ones too, the weighted mean of the
    log odds of all nets so far, as a probability.
    """

    def __init__(self, sessions: Mapping[str, ModelSession]) -> None:
        pnet, self._p = _stage(sessions, "pnet", PNetSpec)
        self._proposer = proposer(pnet, self._p)
        self._rnet, self._r = _stage(sessions, "rnet", RNetSpec)
        self._onet, self.spec = _stage(sessions, "onet", ONetSpec)

    def enlarged_pixels(self, width: int, height: int, min_face_size: float) -> float:
        """Pixels of the picture at the largest scale that faces so small need."""
        return width * height * (self._p.cell / min_face_size) ** 2

    def detect(self, picture: Octaves, options: DetectOptions, timing: Timing) -> Faces:
        """The picture's faces, by falling score."""
        with timing.stage("pnet"):
            found = self.propose(picture, options.min_face_size)
        with timing.stage("rnet"):
            found = self.refine(picture, found)
        with timing.stage("onet"):
            threshold = self.spec.threshold if options.threshold is None else options.threshold
            faces = self._output(picture, found, threshold)
        return faces if options.max_faces is None else faces.take(np.arange(len(faces))[: options.max_faces])

    def locate(self, picture: Octaves, given: Float32[ndarray, "n 4"], timing: Timing) -> Faces:
        """Score and five points for given boxes, in their order; the boxes stay as they are.

        O-Net looks twice: once at the box as given, once at the box it would rather have seen.
        """
        if len(given) == 0:
            return NO_FACES
        with timing.stage("onet"):
            better, _, _ = self.look(picture, given)
            _, scores, points = self.look(picture, better)
        return Faces(given, scores, points)

    def refine_points(self, picture: Octaves, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n 5 2"]:
        """The mean of the five points and those found anew, on faces turned upright by them and mirrored too.

        For what is aligned by the points, and is worth one more batch of O-Net's.
        """
        if len(points) == 0:
            return points
        size = self.spec.size
        transforms = align.umeyama(points, align.template("onet", size))
        crops = align.warp(picture, transforms, size)
        out = self._onet.run(np.concatenate([crops, crops[:, :, ::-1]]))["points"].reshape(2, -1, 5, 2)
        mirrored = out[1][:, FIVE_MIRROR] * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)
        found = align.apply(align.invert(transforms), (out[0] + mirrored) / 2 * size - np.float32(0.5))
        return (points + found) / 2

    def propose(self, picture: Octaves, min_face: float) -> Candidates:
        """P-Net's candidates, by falling score."""
        return self._proposer.propose(picture, min_face)

    def refine(self, picture: Octaves, given: Candidates) -> Candidates:
        """Those of the candidates that R-Net lets pass, moved, by falling score."""
        spec = self._r
        squares = boxes.square(given.boxes, spec.crop)
        out = self._rnet.run(align.warp(picture, align.of_boxes(squares, spec.size), spec.size))
        moved = boxes.toward(given.boxes, boxes.apply_offsets(squares, out["offsets"]), spec.move)
        scores, odds = self._weighed(given.odds, out["score"])
        found = Candidates(moved, scores, odds).take(np.flatnonzero(scores > spec.threshold))
        return found.take(boxes.nms(found.boxes, found.scores, spec.nms)[: spec.max_candidates])

    def _output(self, picture: Octaves, found: Candidates, threshold: float) -> Faces:
        moved, scores, points = self.look(picture, found.boxes)
        moved = boxes.toward(found.boxes, moved, self.spec.move)
        scores = self._calibrated(self._weighed(found.odds, scores)[0])
        passed = np.flatnonzero(scores > threshold)
        keep = passed[boxes.nms(moved[passed], scores[passed], self.spec.nms, self.spec.nms_metric)]
        faces = Faces(moved, scores, points).take(keep)
        faces = replace(faces, boxes=boxes.clip(faces.boxes, picture.width, picture.height))
        return faces.take(np.flatnonzero(boxes.area(faces.boxes) > 0))

    def _weighed(self, before: ndarray, scores: ndarray) -> tuple[ndarray, ndarray]:
        """A stage's scores (n,) with those of the nets before weighed in, and all log odds so far."""
        odds = np.concatenate([before, log_odds(scores)[:, None]], axis=1)
        weights = np.array([self.spec.trust_pnet, self.spec.trust_rnet, 1], np.float32)[: odds.shape[1]]
        if not weights[:2].any():
            return scores, odds
        return _likely(odds @ weights / weights.sum()), odds

    def _calibrated(self, scores: Float32[ndarray, " n"]) -> Float32[ndarray, " n"]:
        spec = self.spec
        if (spec.offset, spec.slope) == (0, 1):
            return scores
        odds = log_odds(scores)
        return _likely(odds + spec.offset + (spec.slope - 1) * np.maximum(0, odds - np.float32(spec.knee)))

    def look(self, picture: Octaves, found: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        """O-Net's boxes (n, 4), its own scores (n,), and points (n, 5, 2) for boxes (n, 4)."""
        size = self.spec.size
        squares = boxes.square(found, self.spec.crop)
        out = self._onet.run(align.warp(picture, align.of_boxes(squares, size), size))
        side = squares[:, None, 2:] - squares[:, None, :2]
        points = squares[:, None, :2] + out["points"].reshape(-1, 5, 2) * side - np.float32(0.5)
        return boxes.apply_offsets(squares, out["offsets"]), out["score"], points


def _stage(sessions: Mapping[str, ModelSession], kind: str, spec_type: type[S]) -> tuple[LaneSession, S]:
    session = sessions.get(kind)
    if not isinstance(session, LaneSession) or not isinstance(session.spec, spec_type):
        raise BadModel(f"a detector needs a {kind}")
    return session, session.spec


def _likely(odds: Float32[ndarray, " n"]) -> Float32[ndarray, " n"]:
    """Probabilities of log odds."""
    return (1 / (1 + np.exp(-odds))).astype(np.float32)
