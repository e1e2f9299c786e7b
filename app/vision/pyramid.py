"""Pyramids: a picture's octaves, and the packed canvas of all scales that P-Net reads in one call."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8
from numpy import ndarray

Image = UInt8[ndarray, "h w 3"]
AnyImage = UInt8[ndarray, "_ _ 3"]
"""A picture among others, whose size need not be theirs."""

REMAP_LIMIT = 32766
"""The most rows or columns OpenCV's remap takes, in its source and in its answer."""


class Octaves:
    """A picture and its halvings (area averages), each made when first asked for.

    Octave k is the picture at 2**-k of its size. Reading a face of any size from the octave nearest
    above the wanted size costs no more than a small face, and does not alias.
    """

    def __init__(self, image: Image) -> None:
        self._images = [np.ascontiguousarray(image)]
        self.height, self.width = image.shape[:2]
        self._first = max(0, math.ceil(math.log2(max(self.height, self.width) / REMAP_LIMIT)))
        self._last = max(self._first, int(math.log2(min(self.height, self.width))))

    def __getitem__(self, octave: int) -> Image:
        while len(self._images) <= octave:
            above = self._images[-1]
            size = (max(1, above.shape[1] // 2), max(1, above.shape[0] // 2))
            self._images.append(cv2.resize(above, size, interpolation=cv2.INTER_AREA))
        return self._images[octave]

    def at(self, shrink: Float32[ndarray, " n"]) -> Int[ndarray, " n"]:
        """The octave to read for a reduction by `shrink` (1 is full size): at most a halving is left.

        Of a picture too long for OpenCV's remap the first octaves are passed over.
        """
        wanted = np.floor(np.log2(np.maximum(np.nan_to_num(shrink, nan=1.0), 1.0)))
        return np.clip(wanted, self._first, self._last).astype(np.int64)

    def transforms_to(self, octave: int, back: Float32[ndarray, "n 2 3"]) -> Float32[ndarray, "n 2 3"]:
        """Transforms to points of the picture, as transforms to points of the octave.

        Whole numbers are pixel centres in both, so half a pixel is added and taken off.
        """
        height, width = self[octave].shape[:2]
        scale = np.array([[width / self.width], [height / self.height]], np.float32)
        out = back * scale
        out[:, :, 2:] += scale / 2 - np.float32(0.5)
        return out


@dataclass(frozen=True)
class Level:
    """One scale of the pyramid: its (even) size in pixels, and picture pixels for each of its pixels.

    `margin` of these pixels on every side are black.
    """

    width: int
    height: int
    ratio: tuple[float, float]
    margin: int = 0


@dataclass(frozen=True)
class PageRule:
    """The sizes a page may have: at most `width` x `height`, each a multiple of its step; and pages a call.

    With the steps equal to the sizes every page is the same, as a GPU wants it; small steps waste
    less, as a CPU wants it. All numbers even. A level is cut in at least `columns` where it is wide enough,
    so that as many lanes have work; that is for tiles alone.
    """

    width: int
    height: int
    width_step: int
    height_step: int
    batch: int = 1
    columns: int = 1


@dataclass(frozen=True)
class Strip:
    """A piece of a level, and where on which page it lies. Pixels; all numbers even."""

    level: int
    x: int
    y: int
    width: int
    height: int
    page: int
    page_x: int
    page_y: int


def levels(
    width: int, height: int, min_face: float, cell: int, factor: float, margin: int = 0
) -> list[Level]:
    """The pyramid's scales: the smallest face fills one cell at the first, the picture one at the last."""
    out = []
    scale = cell / min_face
    while min(width, height) * scale >= cell:
        w, h = (max(cell, 2 * round(side * scale / 2)) for side in (width, height))
        out.append(Level(w + 2 * margin, h + 2 * margin, (width / w, height / h), margin))
        scale *= factor
    return out


@dataclass(frozen=True)
class Tile:
    """A piece of a level on a page of its own; `own` is the part, x1, y1, x2, y2, that no other tile has.

    Pixels of the level. At the level's edges the tile's own part has no end.
    """

    level: int
    x: int
    y: int
    width: int
    height: int
    own: tuple[float, float, float, float]

    def shape(self, rule: PageRule) -> tuple[int, int]:
        """The (height, width) of its page."""
        return _up(self.height, rule.height_step), _up(self.width, rule.width_step)

    def render(self, image: AnyImage, rule: PageRule) -> AnyImage:
        """Its page, out of the level's image; black beyond."""
        page = np.zeros((*self.shape(rule), 3), np.uint8)
        page[: self.height, : self.width] = image[self.y : self.y + self.height, self.x : self.x + self.width]
        return page


TILE_STEP = 32
"""Tiles begin at multiples of so many pixels, so that a net's strides meet the same pixels in all of them."""

_LEAST_TILE = 256
"""Pixels a tile is wide at least, if it is not the limits that cut it."""


def tiles(sizes: list[Level], rule: PageRule, overlap: int) -> list[Tile]:
    """The levels in tiles that overlap by so many pixels; a tile's own part ends in the middle of these."""
    out = []
    for index, level in enumerate(sizes):
        columns = _tile_spans(level.width, rule.width, overlap, min(rule.columns, level.width // _LEAST_TILE))
        rows = _tile_spans(level.height, rule.height, overlap, 1)
        out += [
            Tile(index, x, y, w, h, (left, top, right, bottom))
            for y, h, top, bottom in rows
            for x, w, left, right in columns
        ]
    return out


def _tile_spans(length: int, limit: int, overlap: int, least: int) -> list[tuple[int, int, float, float]]:
    steps = max(1, length - overlap)
    count = 1 if length <= limit else -(-steps // (limit - overlap))
    each = _up(-(-steps // max(1, count, least)), TILE_STEP)
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


def cut(sizes: list[Level], rule: PageRule, cell: int) -> list[tuple[int, int, int, int, int]]:
    """The levels in pieces `(level, x, y, width, height)` that fit a page.

    Neighbouring pieces overlap by a cell less one stride, so that every cell of a level lies whole in
    exactly one piece.
    """
    pieces = []
    for index, level in enumerate(sizes):
        columns = _spans(level.width, rule.width, cell)
        rows = _spans(level.height, rule.height, cell)
        pieces += [(index, x, y, w, h) for y, h in rows for x, w in columns]
    return pieces


def _spans(length: int, limit: int, cell: int) -> list[tuple[int, int]]:
    lost = cell - 2  # pixels of a piece that start no cell of their own
    steps = (length - lost) // 2
    count = -(-steps // ((limit - lost) // 2))
    each = -(-steps // count)
    return [(2 * start, 2 * min(each, steps - start) + lost) for start in range(0, steps, each)]


def pack(
    pieces: list[tuple[int, int, int, int, int]], rule: PageRule
) -> tuple[list[Strip], list[tuple[int, int]]]:
    """Lays pieces on pages, tallest first, in shelves; answers the strips and the pages' (height, width)."""
    strips: list[Strip] = []
    shelves: list[list[int]] = []  # page, top, height, used width
    used: list[int] = []  # rows used on each page
    for level, x, y, w, h in sorted(pieces, key=lambda p: (-p[4], -p[3])):
        shelf = next((s for s in shelves if s[3] + w <= rule.width and h <= s[2]), None)
        if shelf is None:
            page = next((i for i, rows in enumerate(used) if rows + h <= rule.height), len(used))
            if page == len(used):
                used.append(0)
            shelf = [page, used[page], h, 0]
            shelves.append(shelf)
            used[page] += h
        strips.append(Strip(level, x, y, w, h, shelf[0], shelf[3], shelf[1]))
        shelf[3] += w
    extents = [
        max((s.page_x + s.width for s in strips if s.page == page), default=0) for page in range(len(used))
    ]
    shapes = [
        (_up(rows, rule.height_step), _up(width, rule.width_step))
        for rows, width in zip(used, extents, strict=True)
    ]
    return strips, shapes


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def scaled(picture: Octaves, sizes: list[Level]) -> list[AnyImage]:
    """The picture at every level's size."""
    octaves = picture.at(np.array([min(level.ratio) for level in sizes], np.float32))
    return [_level(picture[int(octave)], level) for level, octave in zip(sizes, octaves, strict=True)]


def _level(image: AnyImage, level: Level) -> AnyImage:
    margin = level.margin
    size = (level.width - 2 * margin, level.height - 2 * margin)
    small = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    if margin:
        small = cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0.0)
    return np.asarray(small)


def render(images: list[AnyImage], strips: list[Strip], shape: tuple[int, int]) -> AnyImage:
    """One page with its strips on it, out of the levels' images; what no strip covers is black."""
    page = np.zeros((*shape, 3), np.uint8)
    for s in strips:
        piece = images[s.level][s.y : s.y + s.height, s.x : s.x + s.width]
        page[s.page_y : s.page_y + s.height, s.page_x : s.page_x + s.width] = piece
    return page
