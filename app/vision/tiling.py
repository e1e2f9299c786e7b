"""Tiling: how the levels of a pyramid are laid out on the canvases that a net reads.

A net with a small receptive field reads patches packed onto canvases (`cut`, `pack`, `render`). A net with a
large one reads overlapping tiles, each on a canvas of its own (`tiles`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from app.vision.pyramid import AnyImage, Level


@dataclass(frozen=True)
class TilingPolicy:
    """The canvas sizes that suit a device. All numbers are even.

    With steps equal to the sizes all canvases are equal, as a GPU needs it. Small steps waste less area, as a
    CPU needs it.

    Attributes:
        width: maximum width of a canvas in pixels.
        height: maximum height in pixels.
        width_step: a canvas's width is a multiple of it.
        height_step: likewise for its height.
        batch: canvases per call.
        columns: tiles only: minimum number of columns of a level that is wide enough, so that all execution
            slots have work.
    """

    width: int
    height: int
    width_step: int
    height_step: int
    batch: int = 1
    columns: int = 1


@dataclass(frozen=True)
class CanvasPatch:
    """A piece of a level and its position on a canvas, in pixels, all even."""

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
    """A piece of a level on a canvas of its own, in pixels of the level.

    `core` (x1, y1, x2, y2) is the part that belongs to no other tile. It is unbounded at the level's edges.
    """

    level: int
    x: int
    y: int
    width: int
    height: int
    core: tuple[float, float, float, float]

    def canvas_shape(self, policy: TilingPolicy) -> tuple[int, int]:
        """Return the (height, width) of its canvas."""
        return _round_up(self.height, policy.height_step), _round_up(self.width, policy.width_step)

    def render(self, image: AnyImage, policy: TilingPolicy) -> AnyImage:
        """Return its canvas, filled from the level's image; black beyond it."""
        canvas = np.zeros((*self.canvas_shape(policy), 3), np.uint8)
        canvas[: self.height, : self.width] = image[
            self.y : self.y + self.height, self.x : self.x + self.width
        ]
        return canvas


TILE_STEP = 32
"""Tiles begin at multiples of so many pixels, so that the net's strides align in all of them."""

_MIN_TILE_WIDTH = 256
"""Pixels; narrower tiles are made only if the policy's limits require it."""


def tiles(sizes: list[Level], policy: TilingPolicy, overlap: int) -> list[Tile]:
    """Divide the levels into tiles that overlap by so many pixels; cores end in the middle of the overlap."""
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
    """Divide the levels into pieces `(level, x, y, width, height)` that fit a canvas.

    Neighbouring pieces overlap by a cell less one stride, so that every cell of a level lies completely in
    exactly one piece.
    """
    pieces = []
    for index, level in enumerate(sizes):
        columns = _spans(level.width, policy.width, cell)
        rows = _spans(level.height, policy.height, cell)
        pieces += [(index, x, y, w, h) for y, h in rows for x, w in columns]
    return pieces


def _spans(length: int, limit: int, cell: int) -> list[tuple[int, int]]:
    lost = cell - 2  # pixels at a piece's end in which no cell begins
    steps = (length - lost) // 2
    count = -(-steps // ((limit - lost) // 2))
    each = -(-steps // count)
    return [(2 * start, 2 * min(each, steps - start) + lost) for start in range(0, steps, each)]


def pack(
    pieces: list[tuple[int, int, int, int, int]], policy: TilingPolicy
) -> tuple[list[CanvasPatch], list[tuple[int, int]]]:
    """Lay pieces on canvases, tallest first, in shelves.

    Returns:
        The patches, and the (height, width) of each canvas.
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
    """Yield the indices of canvases of one shape, at most `batch` per call, so that memory is bounded."""
    for shape in sorted(set(shapes)):
        same = [index for index, s in enumerate(shapes) if s == shape]
        yield from (same[i : i + batch] for i in range(0, len(same), batch))


def render(images: list[AnyImage], patches: list[CanvasPatch], shape: tuple[int, int]) -> AnyImage:
    """Return one canvas with its patches, filled from the levels' images; black elsewhere."""
    canvas = np.zeros((*shape, 3), np.uint8)
    for p in patches:
        piece = images[p.level][p.y : p.y + p.height, p.x : p.x + p.width]
        canvas[p.canvas_y : p.canvas_y + p.height, p.canvas_x : p.canvas_x + p.width] = piece
    return canvas


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
