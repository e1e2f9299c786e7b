import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.vision import pyramid
from app.vision.pyramid import ImagePyramid, Level, TilingPolicy

CELL = 12
sides = st.integers(1, 3000)
RULES = [TilingPolicy(640, 128, 32, 8), TilingPolicy(640, 512, 640, 512), TilingPolicy(64, 32, 2, 2)]


@given(sides, sides, st.floats(12, 400))
def test_levels_are_even_hold_a_cell_and_know_their_ratio(width: int, height: int, face: float) -> None:
    for level in pyramid.levels(width, height, face, CELL, 0.709):
        assert level.width % 2 == level.height % 2 == 0
        assert min(level.width, level.height) >= CELL
        assert level.ratio == pytest.approx((width / level.width, height / level.height))


def test_a_margin_is_black_and_lies_around_the_picture() -> None:
    bare, framed = (pyramid.levels(100, 60, 20, CELL, 0.709, margin) for margin in (0, 2))
    assert [(b.width + 4, b.height + 4, b.ratio) for b in bare] == [
        (f.width, f.height, f.ratio) for f in framed
    ]
    picture = ImagePyramid(np.full((60, 100, 3), 200, np.uint8))
    for image, level in zip(pyramid.scaled(picture, framed), framed, strict=True):
        assert image.shape == (level.height, level.width, 3)
        assert (image[2:-2, 2:-2] == 200).all()
        assert int((image > 0).sum()) == 3 * (level.width - 4) * (level.height - 4)


def test_first_level_makes_the_smallest_face_one_cell() -> None:
    first = pyramid.levels(1000, 500, 20, CELL, 0.5)[0]
    assert (first.width, first.height) == (600, 300)


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=30)
@given(width=st.integers(12, 1500), height=st.integers(12, 1500))
def test_every_cell_lies_whole_in_exactly_one_strip(rule: TilingPolicy, width: int, height: int) -> None:
    sizes = [Level(width // 2 * 2, height // 2 * 2, (1.0, 1.0))]
    rows, columns = ((side - CELL) // 2 + 1 for side in (sizes[0].height, sizes[0].width))
    seen = np.zeros((rows, columns), int)
    for _, x, y, w, h in pyramid.cut(sizes, rule, CELL):
        assert w <= rule.width
        assert h <= rule.height
        assert x + w <= sizes[0].width
        assert y + h <= sizes[0].height
        seen[y // 2 : (y + h - CELL) // 2 + 1, x // 2 : (x + w - CELL) // 2 + 1] += 1
    assert np.all(seen == 1)


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=30)
@given(width=st.integers(20, 1500), height=st.integers(20, 1500))
def test_strips_lie_apart_on_pages_of_allowed_sizes(rule: TilingPolicy, width: int, height: int) -> None:
    sizes = pyramid.levels(width, height, 20, CELL, 0.709)
    strips, shapes = pyramid.pack(pyramid.cut(sizes, rule, CELL), rule)
    pages = [np.zeros(shape, int) for shape in shapes]
    for rows, columns in shapes:
        assert rows % rule.height_step == columns % rule.width_step == 0
        assert rows <= rule.height
        assert columns <= rule.width
    for s in strips:
        assert s.page_x % 2 == s.page_y % 2 == 0
        area = pages[s.page][s.page_y : s.page_y + s.height, s.page_x : s.page_x + s.width]
        assert area.shape == (s.height, s.width)
        area += 1
    assert all(page.max() == 1 for page in pages)


def test_render_puts_each_piece_where_its_strip_says() -> None:
    image = np.random.default_rng(0).integers(1, 255, (90, 130, 3), dtype=np.uint8)
    rule = TilingPolicy(64, 32, 2, 2)
    sizes = [Level(130, 90, (1.0, 1.0))]
    strips, shapes = pyramid.pack(pyramid.cut(sizes, rule, CELL), rule)
    images = pyramid.scaled(ImagePyramid(image), sizes)
    pages = [
        pyramid.render(images, [s for s in strips if s.page == page], shape)
        for page, shape in enumerate(shapes)
    ]
    for s in strips:
        piece = pages[s.page][s.page_y : s.page_y + s.height, s.page_x : s.page_x + s.width]
        assert np.array_equal(piece, image[s.y : s.y + s.height, s.x : s.x + s.width])


def test_octaves_halve_and_stop_at_one_pixel() -> None:
    picture = ImagePyramid(np.full((40, 100, 3), 7, np.uint8))
    assert picture[2].shape == (10, 25, 3)
    assert picture.at(np.array([0.3, 1.0, 1.9, 2.0, 5.0, 1e6], np.float32)).tolist() == [0, 0, 0, 1, 2, 5]
    assert picture[5].shape[0] == 1
    assert np.all(picture[5] == 7)


def test_octave_points_keep_their_place_in_the_picture() -> None:
    picture = ImagePyramid(np.zeros((64, 64, 3), np.uint8))
    same = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)
    (there,) = picture.transforms_to(2, same)
    corners = np.array([[-0.5, -0.5, 1], [63.5, 63.5, 1]], np.float32)
    assert (corners @ there.T).tolist() == [[-0.5, -0.5], [15.5, 15.5]]


def test_a_picture_too_long_for_opencv_is_read_from_a_lower_octave() -> None:
    picture = ImagePyramid(np.zeros((2, 70_000, 3), np.uint8))
    octave = int(picture.at(np.array([1.0], np.float32))[0])
    assert octave == 2
    assert max(picture[octave].shape) <= pyramid.REMAP_LIMIT


TILE_RULES = [
    TilingPolicy(1024, 1024, 32, 32, columns=2),
    TilingPolicy(320, 288, 32, 32, columns=5),
    TilingPolicy(256, 192, 256, 192, batch=4),
]


@pytest.mark.parametrize("rule", TILE_RULES)
@given(width=st.integers(6, 1500), height=st.integers(6, 1500))
@settings(max_examples=40)
def test_every_pixel_is_one_tiles_own_and_far_from_its_inner_edges(
    rule: TilingPolicy, width: int, height: int
) -> None:
    level, overlap = Level(2 * width, 2 * height, (1.0, 1.0)), 96
    owned = np.zeros((level.height, level.width), np.uint8)
    for tile in pyramid.tiles([level], rule, overlap):
        assert tile.x % pyramid.TILE_STEP == tile.y % pyramid.TILE_STEP == 0
        assert tile.x + tile.width <= level.width
        assert tile.y + tile.height <= level.height
        rows, columns = tile.shape(rule)
        assert rows <= max(rule.height, rule.height_step)
        assert columns <= max(rule.width, rule.width_step)
        left, top, right, bottom = tile.own
        assert left == -np.inf if tile.x == 0 else left == tile.x + overlap / 2
        assert right == np.inf if tile.x + tile.width == level.width else True
        assert np.isinf(right) or right == tile.x + tile.width - overlap / 2
        assert np.isinf(bottom) or bottom == tile.y + tile.height - overlap / 2
        x1, y1 = (int(max(0, side)) for side in (left, top))
        x2, y2 = int(min(level.width, right)), int(min(level.height, bottom))
        owned[y1:y2, x1:x2] += 1
    assert owned.min() == owned.max() == 1


def test_a_tiles_page_is_the_picture_and_black_beyond() -> None:
    image = np.random.default_rng(0).integers(1, 256, (50, 70, 3), np.uint8)
    rule = TilingPolicy(64, 64, 32, 32)
    (tile, *_) = pyramid.tiles([Level(70, 50, (1.0, 1.0))], rule, 32)
    page = tile.render(image, rule)
    assert page.shape == (64, 64, 3)
    assert np.array_equal(page[:50, : tile.width], image[:, : tile.width])
    assert not page[50:].any()


def test_wide_levels_have_a_tile_for_each_lane() -> None:
    rule = TilingPolicy(1024, 1024, 32, 32, columns=2)
    sizes = [Level(1000, 700, (1.0, 1.0)), Level(300, 200, (1.0, 1.0))]
    assert [t.level for t in pyramid.tiles(sizes, rule, 96)] == [0, 0, 1]
