import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vision.draw import Marks, draw
from app.vision.points import COUNTS, Scheme

BOXES = np.array([[40, 50, 140, 170]], np.float32)
TEXTS = ["0.97"]
POINTS = np.array([[[70, 90], [110, 90], [90, 115], [74, 140], [106, 140]]], np.float32)


def grey(height: int = 240, width: int = 200) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def changed(image: np.ndarray, ground: np.ndarray) -> np.ndarray:
    return (image != ground).any(axis=2)


def test_the_picture_itself_stays_as_it_is() -> None:
    image = grey()
    drawn = draw(image, BOXES, TEXTS, POINTS)
    assert (image == 128).all()
    assert drawn.shape == image.shape
    assert changed(drawn, image).any()


def test_nothing_is_drawn_for_no_faces() -> None:
    image = grey()
    none = np.empty((0, 4), np.float32), list[str](), np.empty((0, 5, 2), np.float32)
    assert (draw(image, *none) == image).all()


def test_lines_lie_on_the_box_and_dots_on_the_points() -> None:
    seen = changed(draw(grey(), BOXES, TEXTS, POINTS), grey())
    assert seen[110, 40]
    assert seen[110, 139]
    assert seen[50, 90]
    assert seen[169, 90]
    for x, y in POINTS[0].astype(int):
        assert seen[y, x]
    assert not seen[110, 55]  # inside, away from everything
    assert not seen[200:].any()


def test_the_subject_s_left_eye_is_blue_and_the_right_one_red() -> None:
    drawn = draw(grey(), BOXES, TEXTS, POINTS)
    red, blue = drawn[90, 70].astype(int), drawn[90, 110].astype(int)
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50


def test_lines_grow_with_the_picture() -> None:
    def thickness(scale: int) -> int:
        image = grey(240 * scale, 200 * scale)
        drawn = draw(image, BOXES * scale, TEXTS, POINTS * scale)
        return int(changed(drawn, image)[110 * scale, : 60 * scale].sum())

    assert 2 * thickness(1) < thickness(12) < 40


def test_a_small_face_keeps_thin_lines_in_a_large_picture() -> None:
    image = grey(2400, 2000)
    none = np.full((1, 5, 2), -100, np.float32)
    seen = changed(draw(image, BOXES / 5, TEXTS, none), image)
    assert 1 <= seen[22, :18].sum() <= 6


@pytest.mark.parametrize("scheme", ["ibug68", "kaggle15"])
def test_landmarks_are_drawn(scheme: Scheme) -> None:
    spread = np.random.default_rng(0).uniform((50, 60), (130, 160), (1, COUNTS[scheme], 2)).astype(np.float32)
    drawn = draw(grey(), BOXES, TEXTS, POINTS, Marks(spread, scheme))
    seen = changed(drawn, grey())
    assert all(seen[y, x] for x, y in np.rint(spread[0]).astype(int))
    assert (drawn == [255, 209, 102]).all(axis=2).any()


@pytest.mark.parametrize(("side", "face"), [(250, 90), (120, 60), (2000, 300)])
def test_a_face_in_an_image_of_any_size_has_a_label(side: int, face: int) -> None:
    image = np.zeros((side, side, 3), np.uint8)
    box = np.array([[20, 50, 20 + face, 50 + face]], np.float32)
    points = np.full((1, 5, 2), 50 + face / 2, np.float32)
    plain, labelled = (draw(image, box, [text], points) for text in ("", "Ann 0.91"))
    assert (plain != labelled).any()


def test_a_label_stays_in_the_picture() -> None:
    image = grey(600, 600)
    at_the_corner = np.array([[-40, -30, 300, 400], [450, 100, 700, 400]], np.float32)
    texts = ["0.90", "0.80"]
    drawn = draw(image, at_the_corner, texts, np.full((2, 5, 2), 300, np.float32))
    for box in ((slice(0, 60), slice(0, 120)), (slice(60, 100), slice(480, 600))):
        assert (drawn[box] == [61, 220, 151]).all(axis=2).any()


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4),
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_any_box_can_be_drawn(corners: list[float], height: int, width: int) -> None:
    x1, y1, x2, y2 = corners
    box = np.array([[min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]], np.float32)
    points = np.tile(box[:, None, :2], (1, 5, 1))
    assert draw(grey(height, width), box, TEXTS, points).shape == (height, width, 3)


@pytest.mark.parametrize("shift", [(0, 0), (-60, -70), (90, 120), (-5000, 0), (1e6, -1e6)])
def test_a_mesh_is_drawn_where_it_is(shift: tuple[float, float]) -> None:
    """Also if parts of it lie outside of the picture: the same lines, cut at the edge."""
    spread = np.random.default_rng(0).uniform((50, 60, -9), (130, 160, 9), (1, 468, 3)).astype(np.float32)
    spread[..., :2] += np.array(shift, np.float32)
    marks, none = Marks(spread, "mesh468"), np.full((1, 5, 2), -1e4, np.float32)
    far = np.full((1, 4), -1e4, np.float32)
    seen = changed(draw(grey(), far, TEXTS, none, marks), grey())
    wide = np.pad(grey(), ((200, 200), (200, 200), (0, 0)), constant_values=128)
    moved = Marks(spread + np.array([200, 200, 0], np.float32), "mesh468")
    expected = changed(draw(wide, far, TEXTS, none, moved), wide)[200:-200, 200:-200]
    # A line that is cut at the edge is clipped before it is drawn, which moves single pixels.
    assert (seen != expected).mean() < 0.01
    assert seen.any() == (shift[0] > -1000 and shift[0] < 1000)
