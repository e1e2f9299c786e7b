"""Generated parts of Markdown pages: a command writes the text between two marks; the rest is prose."""

import datetime
from collections.abc import Sequence
from pathlib import Path

from training.evaluation.user_errors import UserError


def fill(path: Path, mark: str, text: str) -> None:
    """Replace the text between `<!-- mark -->` and `<!-- /mark -->` in a page.

    Raises:
        UserError: the page does not have both marks; it is not changed.
        FileNotFoundError: the page does not exist.
    """
    page = path.read_text()
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, opened, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise UserError(
            f"{path} does not have the marks {begin} and {end}. Add them, or choose another page."
        )
    part = path.with_name(path.name + ".part")
    part.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")
    part.replace(path)


def dated(text: str) -> str:
    """Return the text with a line that says that it was measured today."""
    return f"{text}\n\nMeasured on {datetime.date.today().isoformat()}."


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table.

    Args:
        head: the column heads.
        rows: the cells.
        left: number of columns that are aligned to the left; the others hold figures.
    """
    rule = "|".join("---" if i < left else "---:" for i in range(len(head)))
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])
