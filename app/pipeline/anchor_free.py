"""Proposals by an anchor-free net, YuNet (Wu et al., 2023): each cell of its output grids predicts one face.

The net finds faces of many sizes at one scale, so the scales of the image pyramid are far apart.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.pipeline.proposals import CandidateLimit, Candidates, Search, no_candidates, top_scores
from app.runtime.device import Device
from app.runtime.session import ModelSession
from app.vision import boxes, pyramid, tiling
from app.vision.pyramid import ImagePyramid
from app.vision.scores import logit, sigmoid
from app.vision.spec import AnchorFreeSpec
from app.vision.tiling import Tile, TilingPolicy

MIN_SIZE_RATIO = 0.75
"""Candidates whose longer side is less than this share of the requested minimum size are dropped."""

CERTAIN_SCORE, CERTAIN_PER_FACE = 0.5, 2
"""Limit of certain candidates: docs/experiments/detector-settings.md, "Crowds"."""

_RAW_PER_CANDIDATE = 8
"""Boxes before NMS per candidate after it."""


def tiling_policy(device: Device) -> TilingPolicy:
    """Return the tiling policy for a device.

    On a GPU all tiles have one size. On a CPU wide levels have at least one column of tiles per slot.
    """
    if device.on_cpu:
        return TilingPolicy(1024, 1024, 32, 32, batch=1, columns=device.slots)
    return TilingPolicy(1024, 768, 1024, 768, batch=4)


class AnchorFreeProposer:
    """Runs an anchor-free net over a few scales of an image, which are cut into overlapping tiles.

    A candidate that an inner edge of a tile may cut is dropped. The next scale contains the whole face.

    Args:
        net: the session of the net.
        spec: the spec of the net.
        policy: the tiling policy; that of the device of the net if None.
    """

    def __init__(self, net: ModelSession, spec: AnchorFreeSpec, policy: TilingPolicy | None = None) -> None:
        self._net, self._spec = net, spec
        self._policy = policy or tiling_policy(net.device)

    def propose(self, picture: ImagePyramid, search: Search) -> Candidates:
        """Return candidates, by descending score. They may be slightly smaller than the smallest face."""
        spec, policy, min_face = self._spec, self._policy, search.min_face
        pixels = search.max_pixels or spec.best_pixels
        largest_cell = min_face * (pixels / (picture.width * picture.height)) ** 0.5
        cell = max(spec.cell, int(min(spec.best_cell, largest_cell)))
        sizes = pyramid.levels(picture.width, picture.height, min_face, cell, spec.factor)
        tiles = tiling.tiles(sizes, policy, spec.window)
        if not tiles:
            return no_candidates()
        images = pyramid.resize_to_levels(picture, sizes)
        shapes = [tile.canvas_shape(policy) for tile in tiles]

        def scan(chosen: list[int]) -> list[tuple[ndarray, ndarray]]:
            batch = [tiles[i].render(images[tiles[i].level], policy) for i in chosen]
            maps = self._net.run(np.stack(batch) if len(batch) > 1 else batch[0][None])
            return [_candidates(maps, row, tiles[i], spec) for row, i in enumerate(chosen)]

        # The most expensive calls come first, so that no slot still runs a large one at the end.
        calls = sorted(
            tiling.group_by_shape(shapes, policy.batch),
            key=lambda call: -len(call) * np.prod(shapes[call[0]]),
        )
        ratios = pyramid.level_ratios(sizes)
        parts = [
            (found * ratios[tiles[i].level], scores)
            for call, answers in zip(calls, self._net.map(scan, calls), strict=True)
            for i, (found, scores) in zip(call, answers, strict=True)
        ]
        found, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        large = np.flatnonzero((found[:, 2:] - found[:, :2]).max(axis=1) >= MIN_SIZE_RATIO * min_face)
        limit = CandidateLimit(spec.max_candidates, CERTAIN_SCORE, CERTAIN_PER_FACE)
        raw_limit = limit.times(_RAW_PER_CANDIDATE)
        best = large[top_scores(scores[large], raw_limit.count(scores[large], search.max_faces))]
        found, scores = found[best], scores[best]
        keep = boxes.nms(found, scores, spec.nms)
        keep = keep[: limit.count(scores[keep], search.max_faces)]
        voted = boxes.vote(found[keep], found, spec.vote) if spec.vote < 1 else found[keep]
        return Candidates.of_first_net(voted, scores[keep])


def _candidates(
    maps: Mapping[str, ndarray], row: int, tile: Tile, spec: AnchorFreeSpec
) -> tuple[Float32[ndarray, "n 4"], Float32[ndarray, " n"]]:
    """Return boxes, in pixels of the level, and scores, reduced by the penalty of the spec for small boxes.

    A scale after the first has less detail of a small face than the first one, so its box and score are
    less reliable.
    """
    found, scores = _decode(maps, row, tile, spec)
    if tile.level == 0 or not spec.coarse_penalty:
        return found, scores
    side = np.sqrt(np.maximum(boxes.area(found), 1))
    share = np.clip(np.log2(np.float32(spec.coarse_side) / side), 0, 1)
    return found, sigmoid(logit(scores) - np.float32(spec.coarse_penalty) * share)


def _decode(
    maps: Mapping[str, ndarray], row: int, tile: Tile, spec: AnchorFreeSpec
) -> tuple[Float32[ndarray, "n 4"], Float32[ndarray, " n"]]:
    """Return boxes, in pixels of the level, and scores of the cells above the threshold in a tile's core."""
    found, scores = [], []
    left, top, right, bottom = tile.core
    for stride in spec.strides:
        score = maps[f"score{stride}"][row]
        i, j = np.nonzero(score > spec.threshold)
        corner = np.stack([tile.x + stride * j, tile.y + stride * i], axis=1)
        centre = corner + stride / 2
        in_core = ((centre >= (left, top)) & (centre < (right, bottom))).all(axis=1)
        i, j, corner = i[in_core], j[in_core], corner[in_core]
        cells = np.concatenate([corner, corner + stride], axis=1).astype(np.float32)
        found.append(boxes.apply_offsets(cells, maps[f"offsets{stride}"][row, i, j]))
        scores.append(score[i, j])
    all_boxes, all_scores = np.concatenate(found), np.concatenate(scores)
    margin = spec.strides[0]  # a box that ends within this distance of an inner edge may be cut
    low = np.where(np.isfinite((left, top)), (tile.x + margin, tile.y + margin), -np.inf)
    end = (tile.x + tile.width - margin, tile.y + tile.height - margin)
    high = np.where(np.isfinite((right, bottom)), end, np.inf)
    complete = ((all_boxes[:, :2] >= low) & (all_boxes[:, 2:] <= high)).all(axis=1)
    return all_boxes[complete], all_scores[complete]
