"""Proposals by the P-Net of MTCNN (Zhang et al., 2016): a sliding window on each level of a pyramid."""

from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from app.pipeline.proposals import CandidateLimit, Candidates, Search, no_candidates, top_scores
from app.runtime.device import Device
from app.runtime.session import ModelSession
from app.vision import boxes, pyramid, tiling
from app.vision.pyramid import ImagePyramid
from app.vision.spec import PNetSpec
from app.vision.tiling import CanvasPatch, TilingPolicy

CERTAIN_SCORE, CERTAIN_PER_FACE = 0.9, 8
"""Limit of certain candidates: docs/experiments/detector-settings.md, "Crowds"."""

_RAW_PER_CANDIDATE = 8
"""Boxes before NMS per candidate after it."""


def tiling_policy(device: Device) -> TilingPolicy:
    """Return the tiling policy for a device: canvases of one size on a GPU, small fitted ones on a CPU."""
    if device.on_cpu:
        return TilingPolicy(640, 128, 32, 8, batch=1)
    return TilingPolicy(640, 512, 640, 512, batch=16)


class SlidingWindowProposer:
    """Runs P-Net over all scales of an image, which are packed onto canvases.

    Args:
        net: the session of the net.
        spec: the spec of the net.
        policy: the tiling policy; that of the device of the net if None.
    """

    def __init__(self, net: ModelSession, spec: PNetSpec, policy: TilingPolicy | None = None) -> None:
        self._net, self._spec = net, spec
        self._policy = policy or tiling_policy(net.device)

    def propose(self, picture: ImagePyramid, search: Search) -> Candidates:
        """Return candidates, by descending score."""
        spec, policy = self._spec, self._policy
        margin = (spec.window - spec.cell) // 2
        sizes = pyramid.levels(picture.width, picture.height, search.min_face, spec.cell, spec.factor, margin)
        patches, shapes = tiling.pack(tiling.cut(sizes, policy, spec.window), policy)
        if not patches:
            return no_candidates()
        images = pyramid.resize_to_levels(picture, sizes)

        def scan(canvases: list[int]) -> list[tuple[ndarray, ndarray, ndarray]]:
            on_canvas = [[p for p in patches if p.canvas == canvas] for canvas in canvases]
            batch = [tiling.render(images, on, shapes[canvases[0]]) for on in on_canvas]
            maps = self._net.run(np.stack(batch))
            return [_decode(maps, row, patch, spec) for row, on in enumerate(on_canvas) for patch in on]

        calls = list(tiling.group_by_shape(shapes, policy.batch))
        parts = [part for call in self._net.map(scan, calls) for part in call]
        found, scores, level = (np.concatenate(column) for column in zip(*parts, strict=True))
        found = found * pyramid.level_ratios(sizes)[level]
        limit = CandidateLimit(spec.max_candidates, CERTAIN_SCORE, CERTAIN_PER_FACE)
        best = top_scores(scores, limit.times(_RAW_PER_CANDIDATE).count(scores, search.max_faces))
        found, scores, level = found[best], scores[best], level[best]

        def suppress(scale: int) -> ndarray:
            on = np.flatnonzero(level == scale)
            kept: ndarray = on[boxes.nms(found[on], scores[on], spec.nms_per_scale)]
            return kept

        keep = np.concatenate(self._net.map(suppress, range(len(sizes))))
        found, scores = found[keep], scores[keep]
        keep = boxes.nms(found, scores, spec.nms)
        keep = keep[: limit.count(scores[keep], search.max_faces)]
        return Candidates.of_first_net(found[keep], scores[keep])


def _decode(
    maps: Mapping[str, ndarray], row: int, patch: CanvasPatch, spec: PNetSpec
) -> tuple[ndarray, ndarray, ndarray]:
    """Return the boxes, in pixels of the level, scores and levels of the cells above the threshold."""
    stride = spec.stride
    rows, columns = ((side - spec.window) // stride + 1 for side in (patch.height, patch.width))
    top, left = patch.canvas_y // stride, patch.canvas_x // stride
    scores = maps["score"][row, top : top + rows, left : left + columns]
    i, j = np.nonzero(scores > spec.threshold)
    corner = np.stack([patch.x + stride * j, patch.y + stride * i], axis=1)
    cells = np.concatenate([corner, corner + spec.cell], axis=1).astype(np.float32)
    found = boxes.apply_offsets(cells, maps["offsets"][row, top + i, left + j])
    return found, scores[i, j], np.full(len(found), patch.level)
