"""P-Net: candidates from all scales of a picture, of either of the two kinds of net there are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.pipeline.faces import NO_FACES
from app.runtime.session import LaneSession
from app.vision import boxes, pyramid
from app.vision.pyramid import Octaves
from app.vision.spec import PNetSpec

SMALLER = 0.75
"""A net with grids also finds smaller faces than it was asked for; below this share they are dropped."""


@dataclass(frozen=True)
class Candidates:
    """What a stage leaves for the next: boxes, scores, and the log odds that each net so far gave them."""

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    odds: Float32[ndarray, "n nets"]

    def take(self, index: ndarray) -> "Candidates":
        """Those at `index`."""
        return Candidates(self.boxes[index], self.scores[index], self.odds[index])


@runtime_checkable
class Proposer(Protocol):
    """P-Net with what surrounds it."""

    def propose(self, picture: Octaves, min_face: float) -> Candidates:
        """Candidates, by falling score."""
        ...


def proposer(net: LaneSession, spec: PNetSpec) -> Proposer:
    """What surrounds the net that the spec describes."""
    return Grids(net, spec) if spec.grids else Windows(net, spec)


class Windows:
    """MTCNN's P-Net: a window slides over every scale, packed on pages with the others."""

    def __init__(self, net: LaneSession, spec: PNetSpec) -> None:
        self._net, self._spec = net, spec

    def propose(self, picture: Octaves, min_face: float) -> Candidates:
        """Candidates, by falling score."""
        spec, rule = self._spec, self._net.pages
        margin = (spec.window - spec.cell) // 2
        sizes = pyramid.levels(picture.width, picture.height, min_face, spec.cell, spec.factor, margin)
        strips, shapes = pyramid.pack(pyramid.cut(sizes, rule, spec.window), rule)
        if not strips:
            return _nothing()
        images = pyramid.scaled(picture, sizes)

        def scan(pages: list[int]) -> list[tuple[ndarray, ndarray, ndarray]]:
            on_page = [[s for s in strips if s.page == page] for page in pages]
            batch = [pyramid.render(images, on, shapes[pages[0]]) for on in on_page]
            maps = self._net.run(np.stack(batch))
            return [_cells(maps, row, strip, spec) for row, on in enumerate(on_page) for strip in on]

        parts = [part for call in self._net.each(scan, list(_calls(shapes, rule.batch))) for part in call]
        found, scores, level = (np.concatenate(column) for column in zip(*parts, strict=True))
        found = found * _ratios(sizes)[level]
        best = _best(scores, 8 * spec.max_candidates)
        found, scores, level = found[best], scores[best], level[best]

        def suppress(scale: int) -> ndarray:
            on = np.flatnonzero(level == scale)
            kept: ndarray = on[boxes.nms(found[on], scores[on], spec.nms_per_scale)]
            return kept

        keep = np.concatenate(self._net.each(suppress, range(len(sizes))))
        found, scores = found[keep], scores[keep]
        keep = boxes.nms(found, scores, spec.nms)[: spec.max_candidates]
        return Candidates(found[keep], scores[keep], log_odds(scores[keep])[:, None])


class Grids:
    """An anchor-free P-Net: each cell of its grids tells a face's place and size; scales lie far apart.

    What a tile's inner edge cuts is left to the next scale, which sees it whole.
    """

    def __init__(self, net: LaneSession, spec: PNetSpec) -> None:
        self._net, self._spec = net, spec

    def propose(self, picture: Octaves, min_face: float) -> Candidates:
        """Candidates, by falling score."""
        spec, rule = self._spec, self._net.pages
        fits = int(min_face * (spec.best_pixels / (picture.width * picture.height)) ** 0.5)
        cell = max(spec.cell, min(spec.best_cell, fits))
        sizes = pyramid.levels(picture.width, picture.height, min_face, cell, spec.factor)
        tiles = pyramid.tiles(sizes, rule, spec.window)
        if not tiles:
            return _nothing()
        images = pyramid.scaled(picture, sizes)
        shapes = [tile.shape(rule) for tile in tiles]

        def scan(chosen: list[int]) -> list[tuple[ndarray, ndarray]]:
            batch = [tiles[i].render(images[tiles[i].level], rule) for i in chosen]
            maps = self._net.run(np.stack(batch))
            return [_faces(maps, row, tiles[i], spec) for row, i in enumerate(chosen)]

        calls = sorted(_calls(shapes, rule.batch), key=lambda call: -len(call) * np.prod(shapes[call[0]]))
        ratios = _ratios(sizes)
        parts = [
            (found * ratios[tiles[i].level], scores)
            for call, answers in zip(calls, self._net.each(scan, calls), strict=True)
            for i, (found, scores) in zip(call, answers, strict=True)
        ]
        found, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        large = np.flatnonzero((found[:, 2:] - found[:, :2]).max(axis=1) >= SMALLER * min_face)
        best = large[_best(scores[large], 8 * spec.max_candidates)]
        found, scores = found[best], scores[best]
        keep = boxes.nms(found, scores, spec.nms)[: spec.max_candidates]
        voted = boxes.vote(found[keep], found, spec.vote) if spec.vote < 1 else found[keep]
        return Candidates(voted, scores[keep], log_odds(scores[keep])[:, None])


def _nothing() -> Candidates:
    return Candidates(NO_FACES.boxes, NO_FACES.scores, np.empty((0, 1), np.float32))


def _ratios(sizes: list[pyramid.Level]) -> Float32[ndarray, "levels 4"]:
    """Picture pixels for each pixel of a level, by x and y in turn."""
    return np.array([(*size.ratio, *size.ratio) for size in sizes], np.float32)


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


def _faces(
    maps: Mapping[str, ndarray], row: int, tile: pyramid.Tile, spec: PNetSpec
) -> tuple[Float32[ndarray, "n 4"], Float32[ndarray, " n"]]:
    """Boxes in pixels of the tile's level, and scores, of the tile's own cells above the threshold."""
    found, scores = [], []
    left, top, right, bottom = tile.own
    for stride in spec.grids:
        score = maps[f"score{stride}"][row]
        i, j = np.nonzero(score > spec.threshold)
        corner = np.stack([tile.x + stride * j, tile.y + stride * i], axis=1)
        middle = corner + stride / 2
        own = ((middle >= (left, top)) & (middle < (right, bottom))).all(axis=1)
        i, j, corner = i[own], j[own], corner[own]
        cells = np.concatenate([corner, corner + stride], axis=1).astype(np.float32)
        found.append(boxes.apply_offsets(cells, maps[f"offsets{stride}"][row, i, j]))
        scores.append(score[i, j])
    every, sure = np.concatenate(found), np.concatenate(scores)
    near = spec.grids[0]  # a box that ends so near an inner edge may be of a face that goes on beyond
    low = np.where(np.isfinite((left, top)), (tile.x + near, tile.y + near), -np.inf)
    end = (tile.x + tile.width - near, tile.y + tile.height - near)
    high = np.where(np.isfinite((right, bottom)), end, np.inf)
    whole = ((every[:, :2] >= low) & (every[:, 2:] <= high)).all(axis=1)
    return every[whole], sure[whole]


def log_odds(scores: Float32[ndarray, " n"]) -> Float32[ndarray, " n"]:
    """Log odds of probabilities, far from infinite."""
    sure = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.log(sure / (1 - sure))


def _best(scores: ndarray, most: int) -> ndarray:
    if len(scores) <= most:
        return np.arange(len(scores))
    return np.argpartition(-scores, most)[:most]
