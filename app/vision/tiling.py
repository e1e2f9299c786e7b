"""Tiling: lays out the levels of a pyramid on the canvases that a net reads.

A net with a small receptive field reads patches that are packed onto canvases (`cut`, `pack`, `render`). A
net with a large receptive field reads overlapping tiles, each on its own canvas (`tiles`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from app.vision.pyramid import AnyImage, Level


@dataclass(frozen=True)
class TilingPolicy:
    """The canvas sizes for a device. All sizes are even.

    For a GPU the steps equal the maximum sizes, so that all canvases have one size. For a CPU the steps are
    small, so that less area is wasted.

    Attributes:
        width: maximum width of a canvas in pixels.
        height: maximum height of a canvas in pixels.
        width_step: the width of a canvas is a multiple of this number of pixels.
        height_step: the height of a canvas is a multiple of this number of pixels.
        batch: maximum number of canvases per call of the net.
        columns: for tiles: minimum number of columns of a wide level, so that all execution slots have work.
    """

    width: int
    height: int
    width_step: int
    height_step: int
    batch: int = 1
    columns: int = 1


@dataclass(frozen=True)
class CanvasPatch:
    """A piece of a level, and its position on a canvas. All numbers of pixels are even.

    Attributes:
        level: index of the level.
        x: left edge in the level, in pixels.
        y: top edge in the level, in pixels.
        width: width in pixels.
        height: height in pixels.
        canvas: index of the canvas.
        canvas_x: left edge on the canvas, in pixels.
        canvas_y: top edge on the canvas, in pixels.
    """

    level: int
    x: int
    y: int
    width: int
    height: int
    canvas: int
    canvas_x: int
    canvas_y: int


@dataclass(frozen=True)
class Tile:
    """A piece of a level that gets its own canvas.

    Attributes:
        level: index of the level.
        x: left edge in the level, in pixels.
        y: top edge in the level, in pixels.
        width: width in pixels.
        height: height in pixels.
        core: the part that belongs to no other tile, `x1, y1, x2, y2` in pixels of the level; infinite at the
            edges of the level.
    """

    level: int
    x: int
    y: int
    width: int
    height: int
    core: tuple[float, float, float, float]

    def canvas_shape(self, policy: TilingPolicy) -> tuple[int, int]:
        """Return the height and width of the canvas in pixels."""
        return _round_up(self.height, policy.height_step), _round_up(self.width, policy.width_step)

    def render(self, image: AnyImage, policy: TilingPolicy) -> AnyImage:
        """Return the canvas with the tile; the rest is black.

        Args:
            image: the image at the size of the level.
            policy: the tiling policy.
        """
        canvas = np.empty((*self.canvas_shape(policy), 3), np.uint8)
        canvas[: self.height, : self.width] = image[
            self.y : self.y + self.height, self.x : self.x + self.width
        ]
        canvas[: self.height, self.width :] = 0
        canvas[self.height :] = 0
        return canvas


TILE_STEP = 32
"""Tiles begin at multiples of this number of pixels, so that the strides of the net align in all tiles."""

_MIN_TILE_WIDTH = 256
"""In pixels. Narrower tiles are made only if the limits of the policy require it."""


def tiles(sizes: list[Level], policy: TilingPolicy, overlap: int) -> list[Tile]:
    """Return overlapping tiles that cover the levels. The cores end in the middle of the overlap.

    Args:
        sizes: the levels.
        policy: the tiling policy.
        overlap: overlap of neighbouring tiles in pixels.
    """
    out = []
    for index, level in enumerate(sizes):
        columns = _tile_spans(
            level.width, policy.width, overlap, min(policy.columns, level.width // _MIN_TILE_WIDTH)
        )
        rows = _tile_spans(level.height, policy.height, overlap, 1)
        out += [
            Tile(index, x, y, w, h, (left, top, right, bottom))
            for y, h, top, bottom in rows
            for x, w, left, right in columns
        ]
    return out


def _tile_spans(length: int, limit: int, overlap: int, at_least: int) -> list[tuple[int, int, float, float]]:
    steps = max(1, length - overlap)
    count = 1 if length <= limit else -(-steps // (limit - overlap))
    each = _round_up(-(-steps // max(1, count, at_least)), TILE_STEP)
    starts = range(0, steps, each)
    last = starts[-1]
    half = overlap / 2
    return [
        (
            start,
            length - start if start == last else each + overlap,
            start + half if start else -math.inf,
            math.inf if start == last else start + each + half,
        )
        for start in starts
    ]


def cut(sizes: list[Level], policy: TilingPolicy, cell: int) -> list[tuple[int, int, int, int, int]]:
    """Return pieces of the levels that fit a canvas.

    Neighbouring pieces overlap by a cell less one stride, so that each cell of a level is completely inside
    exactly one piece.

    Args:
        sizes: the levels.
        policy: the tiling policy.
        cell: side of a cell in pixels.

    Returns:
        For each piece the index of the level, x, y, width and height in pixels of the level.
    """
    pieces = []
    for index, level in enumerate(sizes):
        columns = _spans(level.width, policy.width, cell)
        rows = _spans(level.height, policy.height, cell)
        pieces += [(index, x, y, w, h) for y, h in rows for x, w in columns]
    return pieces


def _spans(length: int, limit: int, cell: int) -> list[tuple[int, int]]:
    lost = cell - 2  # pixels at the end of a piece in which no cell begins
    steps = (length - lost) // 2
    count = -(-steps // ((limit - lost) // 2))
    each = -(-steps // count)
    return [(2 * start, 2 * min(each, steps - start) + lost) for start in range(0, steps, each)]


def pack(
    pieces: list[tuple[int, int, int, int, int]], policy: TilingPolicy
) -> tuple[list[CanvasPatch], list[tuple[int, int]]]:
    """Pack pieces onto canvases, in shelves, the tallest pieces first.

    Args:
        pieces: the pieces that `cut` returned.
        policy: the tiling policy.

    Returns:
        The patches, and the height and width of each canvas in pixels.
    """
    patches: list[CanvasPatch] = []
    shelves: list[list[int]] = []  # canvas, top, height, used width
    used: list[int] = []  # rows used on each canvas
    for level, x, y, w, h in sorted(pieces, key=lambda p: (-p[4], -p[3])):
        shelf = next((s for s in shelves if s[3] + w <= policy.width and h <= s[2]), None)
        if shelf is None:
            canvas = next((i for i, rows in enumerate(used) if rows + h <= policy.height), len(used))
            if canvas == len(used):
                used.append(0)
            shelf = [canvas, used[canvas], h, 0]
            shelves.append(shelf)
            used[canvas] += h
        patches.append(CanvasPatch(level, x, y, w, h, shelf[0], shelf[3], shelf[1]))
        shelf[3] += w
    extents = [
        max((p.canvas_x + p.width for p in patches if p.canvas == canvas), default=0)
        for canvas in range(len(used))
    ]
    shapes = [
        (_round_up(rows, policy.height_step), _round_up(width, policy.width_step))
        for rows, width in zip(used, extents, strict=True)
    ]
    return patches, shapes


def group_by_shape(shapes: list[tuple[int, int]], batch: int) -> Iterator[list[int]]:
    """Group canvases of the same shape into calls of a net.

    Args:
        shapes: height and width of each canvas.
        batch: maximum number of canvases per call.

    Yields:
        The indices of the canvases of each call.
    """
    for shape in sorted(set(shapes)):
        same = [index for index, s in enumerate(shapes) if s == shape]
        yield from (same[i : i + batch] for i in range(0, len(same), batch))


def render(images: list[AnyImage], patches: list[CanvasPatch], shape: tuple[int, int]) -> AnyImage:
    """Return one canvas with its patches; the rest is black.

    Args:
        images: the image at the size of each level.
        patches: the patches on this canvas.
        shape: height and width of the canvas in pixels.
    """
    canvas = np.zeros((*shape, 3), np.uint8)
    for p in patches:
        piece = images[p.level][p.y : p.y + p.height, p.x : p.x + p.width]
        canvas[p.canvas_y : p.canvas_y + p.height, p.canvas_x : p.canvas_x + p.width] = piece
    return canvas


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
