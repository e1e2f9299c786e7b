"""CSV tables that other people wrote: separators, quotes, header lines and the length of rows."""

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from training.data.datasets import packed_files
from training.data.datasets.label_text import BadLabelFile, as_text, checked, quoted

SEPARATORS = (",", ";", "\t")
MAX_CELL = 1_000_000
"""Maximum characters of a cell. An image has at most about 37,000, or 200,000 with decimals."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        path: the file.
        line: number of its first line.
        cells: the cells of the known columns, without blanks around them.
    """

    path: Path
    line: int
    cells: Mapping[str, str]

    def error(self, cause: str) -> BadLabelFile:
        """Return the error that names the file, the line and the cause."""
        return BadLabelFile(self.path, cause, self.line)

    def integer(self, column: str) -> int:
        """Return a cell as an integer. It may have a fraction of zero, as in `7.0`.

        Raises:
            BadLabelFile: it is no integer, or has more than 18 digits.
        """
        match = re.fullmatch(r"([+-]?[0-9]{1,18})(?:[.,]0*)?", self.cells[column])
        if match is None:
            raise self.error(f"{column} is {quoted(self.cells[column])}. It must be a whole number.")
        return int(match[1])


@dataclass(frozen=True)
class Table:
    """An open table.

    Attributes:
        path: the file.
        columns: the known columns that it has.
        unknown: the other columns, as they are written.
        rows: the rows that are not blank, read one after the other.
    """

    path: Path
    columns: frozenset[str]
    unknown: tuple[str, ...]
    rows: Iterator[Row]


@contextmanager
def open_table(folder: Path, name: str, known: Collection[str], needed: Collection[str]) -> Iterator[Table]:
    """Open `<name>.csv` of a folder, plain or packed. Columns are read by name; unknown ones are left out.

    Case, blanks, hyphens and underscores in the names of columns do not matter.

    Args:
        folder: the folder.
        name: name of the table without a suffix.
        known: columns to read.
        needed: those of the known columns that the table must have.

    Yields:
        The table.

    Raises:
        FileNotFoundError: the folder holds no such table.
        BadLabelFile: the file, its header or a row is malformed; the message has the file and the line.
    """
    path = packed_files.find(folder, name)
    limit = csv.field_size_limit(MAX_CELL)
    try:
        with packed_files.open_packed(path, name) as stream, as_text(stream, path) as text:
            yield _table(path, text, known, needed)
    finally:
        csv.field_size_limit(limit)


def one_of(names: Collection[str], text: str) -> str | None:
    """Return the name that equals a text but for case, blanks, hyphens and underscores; None if none does."""
    return {_key(name): name for name in names}.get(_key(text))


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _table(path: Path, text: TextIO, known: Collection[str], needed: Collection[str]) -> Table:
    lines = checked(text, path)
    start, header = next(
        # Excel may write a line `sep=;` before the header.
        ((number, line) for number, line in enumerate(lines, start=1) if line.strip() and line[:4] != "sep="),
        (0, ""),
    )
    if not header:
        raise BadLabelFile(path, "The file has no header and no rows.")
    splits = {separator: _split(header, separator) for separator in SEPARATORS}
    separator = max(splits, key=lambda s: sum(one_of(known, name) is not None for name in splits[s]))
    names = [one_of(known, name) or name.strip() for name in splits[separator]]
    columns = [name for name in names if name in known]
    if missing := [column for column in needed if column not in columns]:
        listed = ", ".join(quoted(name) for name in names[:9]) + (", ..." if len(names) > 9 else "")
        cause = f"The header has no column {' and no column '.join(missing)}. Its columns are: {listed}."
        raise BadLabelFile(path, cause, start)
    if repeated := sorted({column for column in columns if columns.count(column) > 1}):
        raise BadLabelFile(path, f"The header has the column {' and '.join(repeated)} several times.", start)
    unknown = tuple(name for name in names if name and name not in known)
    rows = _rows(path, names, known, _records(path, lines, separator, start))
    return Table(path, frozenset(columns), unknown, rows)


def _split(header: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([header], delimiter=separator, skipinitialspace=separator != "\t"), [])
    except csv.Error:
        return [header]


def _records(path: Path, lines: Iterator[str], separator: str, start: int) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t", strict=True)
    first = start + 1
    try:
        for cells in reader:
            yield first, cells
            first = start + reader.line_num + 1
    except csv.Error as error:
        cause = (
            f"The row beginning here cannot be split into cells ({error}). Look for a stray quotation mark."
        )
        raise BadLabelFile(path, cause, first) from error


def _rows(
    path: Path, names: list[str], known: Collection[str], records: Iterator[tuple[int, list[str]]]
) -> Iterator[Row]:
    used = [(i, name) for i, name in enumerate(names) if name in known]
    for line, cells in records:
        if not any(cell.strip() for cell in cells):
            continue
        if any(cell.strip() for cell in cells[len(names) :]) or len(cells) <= max(i for i, _ in used):
            cause = f"The row has {len(cells)} cells; the header has {len(names)} columns."
            raise BadLabelFile(path, cause, line)
        yield Row(path, line, {name: cells[i].strip() for i, name in used})
