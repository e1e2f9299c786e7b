from typing import Any

import numpy as np
import pytest

from app.errors import BadParameter
from app.service.boxes import check_overlap, parse


def test_boxes_become_an_array() -> None:
    boxes = parse([[1, 2.5, 3, 4], [-5, -6, 7, 8]], 2)
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[1, 2.5, 3, 4], [-5, -6, 7, 8]]


def test_no_boxes_are_an_array_too() -> None:
    assert parse([], 4).shape == (0, 4)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"x1": 1}, "must be a list of boxes"),
        ("text", "must be a list of boxes"),
        ([1, 2, 3, 4], r"boxes\[0\] is not four numbers"),
        ([[1, 2, 3, 4], [1, 2, 3]], r"boxes\[1\] is not four numbers"),
        ([[1, 2, 3, "4"]], "not four numbers"),
        ([[1, 2, 3, True]], "not four numbers"),
        ([[1, 2, 3, None]], "not four numbers"),
        ([[1, 2, 3, float("nan")]], "finite"),
        ([[1, 2, 3, float("inf")]], "finite"),
        ([[1, 2, 3, 10**400]], "finite"),
        ([[3, 2, 3, 4]], r"x2 > x1 and y2 > y1, by 1 pixel or more; boxes\[0\]"),
        ([[1, 4, 3, 2]], "x2 > x1"),
        ([[1.0, 2, 1.000000001, 4]], "by 1 pixel or more"),
        ([[0, 0, 1e-40, 1e-40]], "by 1 pixel or more"),
        ([[0, 0, 20, 0.99]], "by 1 pixel or more"),
        ([[1, 2, 3, 4]] * 5, "has 5 boxes; at most 4 are accepted"),
    ],
)
def test_what_is_no_box(value: Any, words: str) -> None:
    with pytest.raises(BadParameter, match=words) as caught:
        parse(value, 4)
    assert caught.value.field == "boxes"


def test_a_box_of_one_pixel_will_do() -> None:
    assert len(parse([[0, 0, 1, 1], [2.3, 2.3, 3.3, 3.3], [999_999, 0, 1_000_000, 1]], 4)) == 3


def test_boxes_must_meet_the_picture() -> None:
    check_overlap(parse([[-5, -5, 1, 1], [99, 49, 200, 200]], 4), 100, 50)
    check_overlap(parse([], 4), 100, 50)
    for outside in ([100, 0, 120, 20], [0, 50, 20, 70], [-20, 0, 0, 20], [0, -20, 20, 0]):
        with pytest.raises(BadParameter, match=r"boxes\[1\] .* outside the image of 100 x 50"):
            check_overlap(parse([[1, 1, 2, 2], outside], 4), 100, 50)
