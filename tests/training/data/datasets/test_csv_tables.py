"""Separators, quotes, headers and rows of tables that other people wrote."""

import csv
from pathlib import Path

import pytest

from training.data.datasets.csv_tables import open_table
from training.data.datasets.label_text import BadLabelFile

KNOWN = ("ImageId", "left_eye_x", "Image")


def read(folder: Path, text: str, needed: tuple[str, ...] = ("Image",)) -> list[tuple[int, dict[str, str]]]:
    (folder / "table.csv").write_bytes(text.encode())
    with open_table(folder, "table", KNOWN, needed) as table:
        return [(row.line, dict(row.cells)) for row in table.rows]


@pytest.mark.parametrize(
    "header",
    [
        "ImageId,left_eye_x,Image",
        "IMAGEID,LEFT_EYE_X,image",
        " Image Id , Left Eye X ,Image",
        '"ImageId","left-eye-x","Image"',
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("before", ["", "\r\n \r\n"])
def test_headers_and_separators_are_recognised(
    tmp_path: Path, header: str, separator: str, before: str
) -> None:
    text = before + f"{header}\r\n1, 2.5 ,3 4\r\n".replace(",", separator)
    line = 2 + before.count("\n")
    assert read(tmp_path, text) == [(line, {"ImageId": "1", "left_eye_x": "2.5", "Image": "3 4"})]


def test_a_line_with_the_separator_may_come_first(tmp_path: Path) -> None:
    assert read(tmp_path, "sep=;\nImage;ImageId\n3 4;1\n") == [(3, {"Image": "3 4", "ImageId": "1"})]


def test_blank_and_unknown_parts_are_left_out(tmp_path: Path) -> None:
    text = "name,Image,,ImageId\n\nAnn,3 4,,1,,\n,,,\n  \nBob,5,,2\n\n\n"
    assert read(tmp_path, text) == [
        (3, {"Image": "3 4", "ImageId": "1"}),
        (6, {"Image": "5", "ImageId": "2"}),
    ]


def test_a_row_may_end_after_its_last_known_column(tmp_path: Path) -> None:
    assert read(tmp_path, "Image,note\n3 4\n") == [(2, {"Image": "3 4"})]


def test_a_quoted_cell_may_have_line_ends_and_separators(tmp_path: Path) -> None:
    rows = read(tmp_path, 'Image,ImageId\n"3,4\n5",1\n6,2\n')
    assert rows == [(2, {"Image": "3,4\n5", "ImageId": "1"}), (4, {"Image": "6", "ImageId": "2"})]


def test_long_cells_are_read_and_the_limit_of_the_process_is_kept(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    assert len(read(tmp_path, f"Image\n{'1.0 ' * 100_000}\n")[0][1]["Image"]) == 399_999
    assert csv.field_size_limit() == limit
    with pytest.raises(BadLabelFile, match="line 2"):
        read(tmp_path, f"Image\n{'1' * 1_000_001}\n")
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\ufeff", "The file has no header and no rows."),
        ("\n\n", "The file has no header and no rows."),
        (
            "ImageId,Imag\n1,2\n",
            "line 1: The header has no column Image. Its columns are: 'ImageId', 'Imag'.",
        ),
        ("Image,image\n1,2\n", "line 1: The header has the column Image several times."),
        ("ImageId,Image\n1,2\n3\n", "line 3: The row has 1 cells; the header has 2 columns."),
        ("ImageId,Image\n1,2\n3,4,5\n", "line 3: The row has 3 cells; the header has 2 columns."),
        ('ImageId,Image\n1,"2\n3,4\n', "line 2: The row beginning here cannot be split into cells"),
        ('ImageId,Image\n1,2\n3,"4"5\n', "line 3: The row beginning here cannot be split into cells"),
        ("ImageId,Image\n1,2\0\n", "line 2: The line has NUL bytes"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadLabelFile) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(str(tmp_path / "table.csv"))
    assert message in str(raised.value)


@pytest.mark.parametrize(("cell", "value"), [("7", 7), ("-7", -7), ("7.0", 7), ("7.", 7), ('"7,00"', 7)])
def test_whole_numbers_are_read(tmp_path: Path, cell: str, value: int) -> None:
    (tmp_path / "table.csv").write_text(f"ImageId,Image\n{cell},1\n")
    with open_table(tmp_path, "table", KNOWN, KNOWN[:1]) as table:
        assert [row.integer("ImageId") for row in table.rows] == [value]


@pytest.mark.parametrize("cell", ["", "x", "7.5", "1e3", "9" * 19, "1_0", "٣"])
def test_other_numbers_are_errors(tmp_path: Path, cell: str) -> None:
    (tmp_path / "table.csv").write_text(f"ImageId,Image\n{cell},1\n", encoding="utf-8")
    with open_table(tmp_path, "table", KNOWN, KNOWN[:1]) as table:
        row = next(table.rows)
        with pytest.raises(BadLabelFile, match=r"line 2: ImageId is .* It must be a whole number"):
            row.integer("ImageId")
