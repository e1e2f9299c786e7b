"""Detection: the MTCNN cascade (Zhang et al., 2016) over a packed pyramid."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadModel
from app.pipeline.faces import NO_FACES, Faces, Timing
from app.runtime.session import LaneSession, ModelSession
from app.vision import align, boxes, pyramid
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


@dataclass(frozen=True)
class Candidates:
    """What a stage leaves for the next: boxes, scores, and the log odds that each net so far gave them."""

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    odds: Float32[ndarray, "n nets"]

    def take(self, index: ndarray) -> "Candidates":
        """Those at `index`."""
        return Candidates(self.boxes[index], self.scores[index], self.odds[index])


class Detector:
    """P-, R- and O-Net: candidates from all scales, refined twice, with five points.

    A stage's score is its net's; or, where O-Net's spec trusts the earlier ones too, the weighted mean of the
    log odds of all nets so far, as a probability.
    """

    def __init__(self, sessions: Mapping[str, ModelSession]) -> None:
        self._pnet, self._p = _stage(sessions, "pnet", PNetSpec)
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
        spec, rule = self._p, self._pnet.pages
        margin = (spec.window - spec.cell) // 2
        sizes = pyramid.levels(picture.width, picture.height, min_face, spec.cell, spec.factor, margin)
        strips, shapes = pyramid.pack(pyramid.cut(sizes, rule, spec.window), rule)
        if not strips:
            return Candidates(NO_FACES.boxes, NO_FACES.scores, np.empty((0, 1), np.float32))
        images = pyramid.scaled(picture, sizes)

        def scan(pages: list[int]) -> list[tuple[ndarray, ndarray, ndarray]]:
            on_page = [[s for s in strips if s.page == page] for page in pages]
            batch = [pyramid.render(images, on, shapes[pages[0]]) for on in on_page]
            maps = self._pnet.run(np.stack(batch))
            return [_cells(maps, row, strip, spec) for row, on in enumerate(on_page) for strip in on]

        parts = [part for call in self._pnet.each(scan, list(_calls(shapes, rule.batch))) for part in call]
        found, scores, level = (np.concatenate(column) for column in zip(*parts, strict=True))
        ratio = np.array([(*size.ratio, *size.ratio) for size in sizes], np.float32)
        found = found * ratio[level]
        best = _best(scores, 8 * spec.max_candidates)
        found, scores, level = found[best], scores[best], level[best]

        def suppress(scale: int) -> ndarray:
            on = np.flatnonzero(level == scale)
            kept: ndarray = on[boxes.nms(found[on], scores[on], spec.nms_per_scale)]
            return kept

        keep = np.concatenate(self._pnet.each(suppress, range(len(sizes))))
        found, scores = found[keep], scores[keep]
        keep = boxes.nms(found, scores, spec.nms)[: spec.max_candidates]
        return Candidates(found[keep], scores[keep], _log_odds(scores[keep])[:, None])

    def refine(self, picture: Octaves, given: Candidates) -> Candidates:
        """Those of the candidates that R-Net lets pass, moved, by falling score."""
        spec = self._r
        squares = boxes.square(given.boxes, spec.crop)
        out = self._rnet.run(align.warp(picture, align.of_boxes(squares, spec.size), spec.size))
        moved = boxes.apply_offsets(squares, out["offsets"])
        scores, odds = self._weighed(given.odds, out["score"])
        found = Candidates(moved, scores, odds).take(np.flatnonzero(scores > spec.threshold))
        return found.take(boxes.nms(found.boxes, found.scores, spec.nms)[: spec.max_candidates])

    def _output(self, picture: Octaves, found: Candidates, threshold: float) -> Faces:
        moved, scores, points = self.look(picture, found.boxes)
        scores, _ = self._weighed(found.odds, scores)
        passed = np.flatnonzero(scores > threshold)
        keep = passed[boxes.nms(moved[passed], scores[passed], self.spec.nms, self.spec.nms_metric)]
        faces = Faces(moved, scores, points).take(keep)
        faces = replace(faces, boxes=boxes.clip(faces.boxes, picture.width, picture.height))
        return faces.take(np.flatnonzero(boxes.area(faces.boxes) > 0))

    def _weighed(self, before: ndarray, scores: ndarray) -> tuple[ndarray, ndarray]:
        """A stage's scores (n,) with those of the nets before weighed in, and all log odds so far."""
        odds = np.concatenate([before, _log_odds(scores)[:, None]], axis=1)
        weights = np.array([self.spec.trust_pnet, self.spec.trust_rnet, 1], np.float32)[: odds.shape[1]]
        if not weights[:2].any():
            return scores, odds
        return _likely(odds @ weights / weights.sum()), odds

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


def _calls(shapes: list[tuple[int, int]], most: int) -> Iterator[list[int]]:
    """Pages of one shape together, at most so many a call: memory does not grow with the picture."""
    for shape in sorted(set(shapes)):
        same = [page for page, s in enumerate(shapes) if s == shape]
        yield from (same[i : i + most] for i in range(0, len(same), most))


def _cells(
    maps: Mapping[str, ndarray], row: int, strip: pyramid.Strip, spec: PNetSpec
) -> tuple[ndarray, ndarray, ndarray]:
    """Boxes in pixels of the strip's level, scores, and the level, of the cells above the threshold."""
    stride = spec.stride
    rows, columns = ((side - spec.window) // stride + 1 for side in (strip.height, strip.width))
    top, left = strip.page_y // stride, strip.page_x // stride
    scores = maps["score"][row, top : top + rows, left : left + columns]
    i, j = np.nonzero(scores > spec.threshold)
    corner = np.stack([strip.x + stride * j, strip.y + stride * i], axis=1)
    cells = np.concatenate([corner, corner + spec.cell], axis=1).astype(np.float32)
    found = boxes.apply_offsets(cells, maps["offsets"][row, top + i, left + j])
    return found, scores[i, j], np.full(len(found), strip.level)


def _log_odds(scores: Float32[ndarray, " n"]) -> Float32[ndarray, " n"]:
    """Log odds of probabilities, far from infinite."""
    sure = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.log(sure / (1 - sure))


def _likely(odds: Float32[ndarray, " n"]) -> Float32[ndarray, " n"]:
    """Probabilities of log odds."""
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def _best(scores: ndarray, most: int) -> ndarray:
    if len(scores) <= most:
        return np.arange(len(scores))
    return np.argpartition(-scores, most)[:most]
