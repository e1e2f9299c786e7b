import datetime
from pathlib import Path

import pytest

from training import page


def test_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("before\n<!-- x -->\nold\n<!-- /x -->\nafter\n<!-- y -->\nkept\n<!-- /y -->\n")
    page.fill(path, "x", "new")
    page.fill(path, "x", "newer")
    expected = "before\n<!-- x -->\nnewer\n<!-- /x -->\nafter\n<!-- y -->\nkept\n<!-- /y -->\n"
    assert path.read_text() == expected


def test_a_page_without_the_place_is_an_error_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("<!-- x -->\nno end\n")
    with pytest.raises(ValueError, match="no place marked 'x'"):
        page.fill(path, "x", "new")
    assert path.read_text() == "<!-- x -->\nno end\n"


def test_tables_are_markdown() -> None:
    assert page.table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---:|\n| 1 | 2 |"


def test_measured_text_has_its_date() -> None:
    text = page.measured("a")
    assert datetime.date.fromisoformat(text.removeprefix("a\n\nMeasured on ").removesuffix("."))
