"""Text of label files that other people wrote: encodings, line ends and damage.

Files are UTF-8, with or without a byte order mark, UTF-16 or UTF-32; lines end in LF, CR LF or CR.
"""

import codecs
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from app.errors import FacetError

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class BadLabelFile(FacetError, ValueError):
    """A label file cannot be read as it is.

    Args:
        path: the file.
        cause: what is wrong and what to do, as sentences.
        line: number of the line, from 1, if one line is at fault.
    """

    def __init__(self, path: Path, cause: str, line: int | None = None) -> None:
        place = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{place}: {cause}")


def open_bytes(path: Path) -> io.BufferedReader:
    """Return a file, opened for reading.

    Raises:
        FileNotFoundError: there is no such file.
        BadLabelFile: it is a folder, or may not be read.
    """
    if path.is_dir():
        raise BadLabelFile(path, "This is a folder. A file is expected.")
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadLabelFile(path, f"The file cannot be opened: {error.strerror}.") from error


def as_text(stream: io.BufferedReader, path: Path) -> TextIO:
    """Return a stream of bytes as text, whose line ends stay as they are. Invalid bytes become U+FFFD.

    Args:
        stream: the bytes from the beginning.
        path: the file, for messages.

    Raises:
        BadLabelFile: the stream is empty.
    """
    head = stream.peek(4)[:4]
    if not head:
        raise BadLabelFile(path, "The file is empty.")
    return io.TextIOWrapper(stream, encoding=_encoding(head), errors="replace", newline="")


def checked(text: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of a file.

    Args:
        text: the file from its beginning, as `as_text` returns it.
        path: the file, for messages.

    Yields:
        The lines with their ends.

    Raises:
        BadLabelFile: a line has bytes that are no text; the message has its number.
    """
    encoding = text.encoding.removesuffix("-sig").upper()
    for number, line in enumerate(text, start=1):
        if "\0" in line:
            cause = "The line has NUL bytes: the file is damaged, or it is not text. Get it again."
            raise BadLabelFile(path, cause, number)
        if not line.isascii() and "\ufffd" in line:
            cause = f"The line has bytes that are not valid {encoding}. Save the file as UTF-8."
            raise BadLabelFile(path, cause, number)
        yield line


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines that are not blank, without blanks around them, each with its number from 1.

    Raises:
        FileNotFoundError: there is no such file.
        BadLabelFile: the file is empty, a folder, or no text.
    """
    with open_bytes(path) as stream, as_text(stream, path) as text:
        stripped = ((number, line.strip()) for number, line in enumerate(checked(text, path), start=1))
        return [(number, line) for number, line in stripped if line]


def finite_numbers(cells: Sequence[str]) -> list[float]:
    """Return the cells as numbers.

    Raises:
        ValueError: a cell is no finite number; the message has it.
    """
    values = []
    for cell in cells:
        try:
            value = math.nan if "_" in cell else float(cell)  # Python reads 1_0 as 10
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"{quoted(cell)} is not a number")
        values.append(value)
    return values


def quoted(text: str) -> str:
    """Return a part of a file for a message: quoted, and cut if it is long."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _encoding(head: bytes) -> str:
    for mark, encoding in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    if len(head) == 4 and head[0] and head[2] and not head[1] and not head[3]:
        return "utf-16-le"
    if len(head) == 4 and head[1] and head[3] and not head[0] and not head[2]:
        return "utf-16-be"
    return "utf-8"
