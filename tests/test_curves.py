"""Curves of the benchmarks: the line that fits them, their table and their plot; and how rounds are taken."""

from pathlib import Path

import cv2
import pytest

from benchmarks import cost, rounds
from benchmarks.curves import Curve, fit, number, plot, table

CURVE = Curve(
    "faces",
    "faces in the image",
    (0, 10),
    {"ms": {"detect": [40.04, 51.0], "embed": [42.0, 1234.5]}, "requests/s": {"detect": [2.345, 0.5]}},
    {"faces found": [0, 9]},
)


def test_a_line_is_found_exactly() -> None:
    line = fit((0.1, 1, 2, 12), [5 + 20 * x for x in (0.1, 1, 2, 12)])
    assert (line.constant, line.slope, line.error) == pytest.approx((5, 20, 0))


def test_a_line_weighs_relative_errors() -> None:
    """An error of 10% in the largest value moves the line less than the same error in the smallest."""
    large, small = fit((1, 2, 10), (12, 14, 33)), fit((1, 2, 10), (13.2, 14, 30))
    assert abs(large.constant - 10) < 1
    assert abs(small.constant - 10) > abs(large.constant - 10)
    assert large.error > 0


def test_the_table_has_a_column_per_series() -> None:
    head, rule, first, second = table(CURVE).splitlines()
    assert head == "| faces in the image | faces found | ms: detect | ms: embed | requests/s |"
    assert rule == "|---:|---:|---:|---:|---:|"
    assert first == "| 0 | 0 | 40.0 | 42.0 | 2.35 |"
    assert second == "| 10 | 9 | 51.0 | 1234 | 0.5 |"


@pytest.mark.parametrize(
    ("value", "text"), [(1234, "1234"), (1234.4, "1234"), (99.94, "99.9"), (0.1234, "0.123")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_the_plot_has_an_axis_per_panel(tmp_path: Path) -> None:
    path = tmp_path / "images" / "faces.png"
    plot(CURVE, path)
    image = cv2.imread(str(path))
    assert image is not None
    assert image.shape[:2] == (360, 920)  # 460 for each of two panels


def test_the_least_time_of_rounds_after_the_first() -> None:
    calls: list[str] = []
    given = {"a": iter([1.0, 9, 7, 8]), "b": iter([2.0, 5, 6, 4])}

    def ask(name: str) -> rounds.Times:
        calls.append(name)
        return {"whole": next(given[name]), "pnet": 1.0} if name == "a" else {"whole": next(given[name])}

    times = rounds.fastest([lambda: ask("a"), lambda: ask("b")], 3)
    assert calls == ["a", "b"] * 4
    assert times == [{"whole": 7, "pnet": 1}, {"whole": 4}]
    assert rounds.column(times, "pnet") == [1, 0]


def test_time_per_item() -> None:
    done: list[int] = []
    times = rounds.timed(lambda: done.append(1), 4)()
    assert done == [1]
    assert 0 <= times["whole"] < 1000


@pytest.mark.parametrize("megapixels", cost.MEGAPIXELS)
def test_the_size_of_an_image(megapixels: float) -> None:
    width, height = cost.size(megapixels)
    assert width / height == pytest.approx(4 / 3, rel=0.01)
    assert width * height == pytest.approx(megapixels * 1e6, rel=0.01)


def test_the_page_has_a_place_for_each_curve() -> None:
    page = cost.PAGE.read_text()
    for name in ("rows", "pixels", "faces", "clients", "batch", "min-face-size", "machine"):
        assert f"<!-- {name} -->" in page
        assert f"<!-- /{name} -->" in page
