"""Encodings, line ends and damage of label files."""

from pathlib import Path

import pytest

from app.errors import FacetError
from training.data.datasets.label_text import BadLabelFile, finite_numbers, quoted, read_lines

LINES = [(1, "a 1"), (2, "b 2"), (4, "ç 3")]
TEXT = "a 1 \nb 2\n  \nç 3\n\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_are_read(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(TEXT.replace("\n", end).encode(encoding))
    assert read_lines(path) == LINES


def test_a_big_endian_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be"))
    assert read_lines(path) == LINES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a 1\nb \xe7\n", "line 2: The line has bytes that are not valid UTF-8. Save the file as UTF-8."),
        (b"a 1\nb\0\n", "line 2: The line has NUL bytes"),
        ("a 1\nb 2".encode("utf-16")[:-1], "line 2: The line has bytes that are not valid UTF-16."),
        (b"", "labels.txt: The file is empty."),
    ],
)
def test_damage_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(BadLabelFile) as raised:
        read_lines(path)
    assert str(raised.value).startswith(str(path))
    assert message in str(raised.value)
    assert isinstance(raised.value, FacetError)
    assert isinstance(raised.value, ValueError)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadLabelFile, match="This is a folder"):
        read_lines(tmp_path)
    with pytest.raises(FileNotFoundError, match="none"):
        read_lines(tmp_path / "none")


@pytest.mark.parametrize("cell", ["x", "nan", "inf", "1_0", "1,5", ""])
def test_what_is_no_finite_number_is_quoted(cell: str) -> None:
    assert finite_numbers(["1", "-2.5", "3e1"]) == [1, -2.5, 30]
    with pytest.raises(ValueError, match=f"'{cell}' is not a number"):
        finite_numbers(["1", cell])


def test_long_text_is_cut_in_messages() -> None:
    assert quoted("a" * 40) == repr("a" * 40)
    assert quoted("a" * 41) == repr("a" * 37 + "...")
