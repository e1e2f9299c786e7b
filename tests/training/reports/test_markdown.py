"""Generated parts of pages, tables and dates."""

import datetime
from pathlib import Path

import pytest

from training.evaluation.user_errors import UserError
from training.reports import markdown


def test_the_text_between_the_marks_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("before\n<!-- x -->\nold\n<!-- /x -->\nafter\n<!-- y -->\nkept\n<!-- /y -->\n")
    markdown.fill(path, "x", "new")
    markdown.fill(path, "x", "newer")
    expected = "before\n<!-- x -->\nnewer\n<!-- /x -->\nafter\n<!-- y -->\nkept\n<!-- /y -->\n"
    assert path.read_text() == expected


def test_a_page_without_the_marks_is_an_error_and_does_not_change(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("<!-- x -->\nno end\n")
    with pytest.raises(UserError, match="does not have the marks <!-- x --> and <!-- /x -->"):
        markdown.fill(path, "x", "new")
    assert path.read_text() == "<!-- x -->\nno end\n"


def test_a_table_is_markdown() -> None:
    assert markdown.table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---:|\n| 1 | 2 |"


def test_dated_text_has_the_date_of_today() -> None:
    text = markdown.dated("a")
    assert datetime.date.fromisoformat(text.removeprefix("a\n\nMeasured on ").removesuffix("."))
