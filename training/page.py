"""Parts of the documents that commands write: what stands between two marks is theirs, the rest is prose."""

import datetime
from collections.abc import Sequence
from pathlib import Path


def fill(path: Path, mark: str, text: str) -> None:
    """Puts the text between `<!-- mark -->` and `<!-- /mark -->`. Raises ValueError without them."""
    page = path.read_text()
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, opened, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"{path} has no place marked {mark!r}")
    draft = path.with_name(path.name + ".part")
    draft.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")
    draft.replace(path)


def measured(text: str) -> str:
    """The text, with today's date under it."""
    return f"{text}\n\nMeasured on {datetime.date.today().isoformat()}."


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; all columns but the first `left` are figures, set to the right."""
    rule = "|".join("---" if i < left else "---:" for i in range(len(head)))
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])
