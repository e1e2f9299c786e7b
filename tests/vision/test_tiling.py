"""How levels are laid out on canvases: patches share canvases, a tile has one of its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vision import pyramid, tiling
from app.vision.pyramid import ImagePyramid, Level
from app.vision.tiling import TilingPolicy

CELL = 12
POLICIES = [TilingPolicy(640, 128, 32, 8), TilingPolicy(640, 512, 640, 512), TilingPolicy(64, 32, 2, 2)]


@pytest.mark.parametrize("policy", POLICIES)
@given(width=st.integers(12, 1500), height=st.integers(12, 1500))
def test_every_cell_lies_whole_in_exactly_one_piece(policy: TilingPolicy, width: int, height: int) -> None:
    sizes = [Level(width // 2 * 2, height // 2 * 2, (1.0, 1.0))]
    rows, columns = ((side - CELL) // 2 + 1 for side in (sizes[0].height, sizes[0].width))
    seen = np.zeros((rows, columns), int)
    for _, x, y, w, h in tiling.cut(sizes, policy, CELL):
        assert w <= policy.width
        assert h <= policy.height
        assert x + w <= sizes[0].width
        assert y + h <= sizes[0].height
        seen[y // 2 : (y + h - CELL) // 2 + 1, x // 2 : (x + w - CELL) // 2 + 1] += 1
    assert np.all(seen == 1)


@pytest.mark.parametrize("policy", POLICIES)
@given(width=st.integers(20, 1500), height=st.integers(20, 1500))
def test_patches_lie_apart_on_canvases_of_allowed_sizes(
    policy: TilingPolicy, width: int, height: int
) -> None:
    sizes = pyramid.levels(width, height, 20, CELL, 0.709)
    patches, shapes = tiling.pack(tiling.cut(sizes, policy, CELL), policy)
    canvases = [np.zeros(shape, int) for shape in shapes]
    for rows, columns in shapes:
        assert rows % policy.height_step == columns % policy.width_step == 0
        assert rows <= policy.height
        assert columns <= policy.width
    for p in patches:
        assert p.canvas_x % 2 == p.canvas_y % 2 == 0
        area = canvases[p.canvas][p.canvas_y : p.canvas_y + p.height, p.canvas_x : p.canvas_x + p.width]
        assert area.shape == (p.height, p.width)
        area += 1
    assert all(canvas.max() == 1 for canvas in canvases)


def test_render_puts_each_piece_where_its_patch_says() -> None:
    image = np.random.default_rng(0).integers(1, 255, (90, 130, 3), dtype=np.uint8)
    policy = TilingPolicy(64, 32, 2, 2)
    sizes = [Level(130, 90, (1.0, 1.0))]
    patches, shapes = tiling.pack(tiling.cut(sizes, policy, CELL), policy)
    images = pyramid.resize_to_levels(ImagePyramid(image), sizes)
    canvases = [
        tiling.render(images, [p for p in patches if p.canvas == canvas], shape)
        for canvas, shape in enumerate(shapes)
    ]
    for p in patches:
        piece = canvases[p.canvas][p.canvas_y : p.canvas_y + p.height, p.canvas_x : p.canvas_x + p.width]
        assert np.array_equal(piece, image[p.y : p.y + p.height, p.x : p.x + p.width])


TILE_POLICIES = [
    TilingPolicy(1024, 1024, 32, 32, columns=2),
    TilingPolicy(320, 288, 32, 32, columns=5),
    TilingPolicy(256, 192, 256, 192, batch=4),
]


@pytest.mark.parametrize("policy", TILE_POLICIES)
@given(width=st.integers(6, 1500), height=st.integers(6, 1500))
def test_every_pixel_is_in_the_core_of_one_tile_and_far_from_its_inner_edges(
    policy: TilingPolicy, width: int, height: int
) -> None:
    level, overlap = Level(2 * width, 2 * height, (1.0, 1.0)), 96
    owned = np.zeros((level.height, level.width), np.uint8)
    for tile in tiling.tiles([level], policy, overlap):
        assert tile.x % tiling.TILE_STEP == tile.y % tiling.TILE_STEP == 0
        assert tile.x + tile.width <= level.width
        assert tile.y + tile.height <= level.height
        rows, columns = tile.canvas_shape(policy)
        assert rows <= max(policy.height, policy.height_step)
        assert columns <= max(policy.width, policy.width_step)
        left, top, right, bottom = tile.core
        assert left == -np.inf if tile.x == 0 else left == tile.x + overlap / 2
        assert right == np.inf if tile.x + tile.width == level.width else True
        assert np.isinf(right) or right == tile.x + tile.width - overlap / 2
        assert np.isinf(bottom) or bottom == tile.y + tile.height - overlap / 2
        x1, y1 = (int(max(0, side)) for side in (left, top))
        x2, y2 = int(min(level.width, right)), int(min(level.height, bottom))
        owned[y1:y2, x1:x2] += 1
    assert owned.min() == owned.max() == 1


def test_a_tiles_canvas_is_the_picture_and_black_beyond() -> None:
    image = np.random.default_rng(0).integers(1, 256, (50, 70, 3), np.uint8)
    policy = TilingPolicy(64, 64, 32, 32)
    (tile, *_) = tiling.tiles([Level(70, 50, (1.0, 1.0))], policy, 32)
    canvas = tile.render(image, policy)
    assert canvas.shape == (64, 64, 3)
    assert np.array_equal(canvas[:50, : tile.width], image[:, : tile.width])
    assert not canvas[50:].any()


def test_wide_levels_have_a_tile_for_each_slot() -> None:
    policy = TilingPolicy(1024, 1024, 32, 32, columns=2)
    sizes = [Level(1000, 700, (1.0, 1.0)), Level(300, 200, (1.0, 1.0))]
    assert [t.level for t in tiling.tiles(sizes, policy, 96)] == [0, 0, 1]
