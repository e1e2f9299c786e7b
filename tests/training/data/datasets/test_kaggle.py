"""Kaggle's files, plain and zipped, well-formed and malformed."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest

from app.vision.points import KAGGLE15
from tests.training.kaggle_files import FOUR, pictures, write_asked, write_test, write_training
from training.data.datasets import kaggle
from training.data.datasets.label_text import BadLabelFile

DATA = Path(__file__).resolve().parents[5] / "shared" / "data" / "kaggle15"


def faces(count: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 95, (count, 15, 2)).astype(np.float32)


@pytest.mark.parametrize("packed", [False, True])
def test_rows_are_read_as_written(tmp_path: Path, packed: bool) -> None:
    images, points = pictures(3), faces(3)
    points[1, [i for i in range(15) if i not in FOUR]] = np.nan
    write_training(tmp_path, images, points, packed)
    table = kaggle.read_images(tmp_path, "training")
    assert table.ids.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(table.images, images)
    np.testing.assert_array_equal(table.points, points)
    np.testing.assert_array_equal(table.rgb(2)[:, :, 1], images[2])


@pytest.mark.parametrize("packed", [False, True])
def test_a_test_file_has_ids_and_no_points(tmp_path: Path, packed: bool) -> None:
    write_test(tmp_path, pictures(2), [7, 4], packed)
    table = kaggle.read_images(tmp_path, "test")
    assert table.ids.tolist() == [7, 4]
    assert np.isnan(table.points).all()


def test_columns_are_read_by_name(tmp_path: Path) -> None:
    image = " ".join(["9"] * 96 * 96)
    names = [*reversed(kaggle.COORDINATES)]
    cells = ",".join(str(kaggle.COORDINATES.index(name)) for name in names)
    (tmp_path / "training.csv").write_text(f"Image,{','.join(names)}\n{image},{cells}\n")
    table = kaggle.read_images(tmp_path, "training")
    np.testing.assert_array_equal(table.points.ravel(), np.arange(30))


@pytest.mark.parametrize(
    "row", ["1,1 2 3", "1," + " ".join(["256"] * 9216), "1", "x," + " ".join(["1"] * 9216), "1,a b"]
)
def test_a_malformed_row_raises_an_error_with_the_line(tmp_path: Path, row: str) -> None:
    good = "1," + " ".join(["1"] * 9216)
    (tmp_path / "test.csv").write_text(f"ImageId,Image\n{good}\n{row}\n")
    with pytest.raises(ValueError, match=r"test\.csv, line 3"):
        kaggle.read_images(tmp_path, "test")


def test_a_missing_file_raises_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"test\.csv"):
        kaggle.read_images(tmp_path, "test")


def test_the_lookup_table_is_read_in_order(tmp_path: Path) -> None:
    write_asked(tmp_path, [(5, 2, "mouth_center_bottom_lip_y"), (6, 1, "left_eye_center_x")])
    assert kaggle.read_lookup_table(tmp_path) == kaggle.LookupTable((5, 6), (2, 1), (29, 0))


@pytest.mark.parametrize("name", ["left_ear_x", "left_eye_center"])
def test_an_unknown_coordinate_raises_an_error(tmp_path: Path, name: str) -> None:
    write_asked(tmp_path, [(1, 1, name)])
    with pytest.raises(ValueError, match="line 2"):
        kaggle.read_lookup_table(tmp_path)


NAMES = [*kaggle.COORDINATES, "Image"]
ROW = [*(f"{v}.5" for v in range(30)), " ".join(["7"] * 9216)]


def read_row(folder: Path, names: list[str], row: list[str], separator: str = ",") -> kaggle.KaggleImages:
    text = f"{separator.join(names)}\r\n{separator.join(row)}\r\n"
    (folder / "training.csv").write_bytes(text.encode())
    return kaggle.read_images(folder, "training")


def with_cell(column: str, cell: str) -> list[str]:
    return [cell if name == column else old for name, old in zip(NAMES, ROW, strict=True)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_encodings_of_spreadsheets_are_read(tmp_path: Path, encoding: str) -> None:
    text = f"{','.join(NAMES)}\r\n{','.join(ROW)}\r\n"
    (tmp_path / "training.csv").write_bytes(text.encode(encoding))
    table = kaggle.read_images(tmp_path, "training")
    np.testing.assert_array_equal(table.points.ravel(), np.arange(30) + np.float32(0.5))
    assert (table.images == 7).all()


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas_are_read(tmp_path: Path, separator: str) -> None:
    row = [cell.replace(".", ",") for cell in with_cell("Image", " ".join(["7,0"] * 9216))]
    table = read_row(tmp_path, NAMES, row, separator)
    np.testing.assert_array_equal(table.points.ravel(), np.arange(30) + np.float32(0.5))
    assert (table.images == 7).all()


@pytest.mark.parametrize(
    "image", ["7.0 " * 9216, "+7.000000000000000000 " * 9216, "[" + "7 " * 9216 + "]", "7\t" * 9216]
)
def test_whole_pixels_are_read_as_scripts_write_them(tmp_path: Path, image: str) -> None:
    assert (read_row(tmp_path, NAMES, with_cell("Image", image)).images == 7).all()


@pytest.mark.parametrize("separator", [",", ", "])
def test_pixels_may_be_separated_by_commas(tmp_path: Path, separator: str) -> None:
    image = f'"{separator.join(["7"] * 9216)}"'
    assert (read_row(tmp_path, NAMES, with_cell("Image", image)).images == 7).all()


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("Image", "", "Image has 0 numbers"),
        ("Image", "7 " * 9217, "Image has 9217 numbers. 96x96 pixels are 9216 numbers."),
        ("Image", "7 " * 9215 + "256", "Pixel 9216 is 256. It must be a whole number from 0 to 255."),
        ("Image", "-1" + " 7" * 9215, "Pixel 1 is -1."),
        ("Image", "7 7.5" + " 7" * 9214, "Pixel 2 is 7.5. It must be a whole number"),
        ("Image", "0.5 " * 9216, "scaled to 0..1: multiply it by 255"),
        ("Image", "x" + " 7" * 9215, "'x' is not a number"),
        ("Image", "nan" + " 7" * 9215, "'nan' is not a number"),
        ("Image", "1_0" + " 7" * 9215, "'1_0' is not a number"),
        ("nose_tip_x", "x", "nose_tip_x is 'x'. It must be a number, or empty without a label."),
        ("nose_tip_x", "inf", "nose_tip_x is 'inf'"),
        ("nose_tip_x", "66033", "nose_tip_x is '66033'. Images have 96x96 pixels"),
    ],
)
def test_a_malformed_cell_is_named(tmp_path: Path, column: str, cell: str, message: str) -> None:
    expected = re.escape(f"{tmp_path / 'training.csv'}, line 2: ") + ".*" + re.escape(message)
    with pytest.raises(BadLabelFile, match=expected):
        read_row(tmp_path, NAMES, with_cell(column, cell))


@pytest.mark.parametrize(
    "names",
    [["left_eye_center_x"], ["mouth_center_bottom_lip_y"], ["left_eye_center_x", "left_eye_center_y"]],
)
def test_a_missing_column_leaves_only_its_point_unlabelled(
    tmp_path: Path, names: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    kept = [i for i, name in enumerate(NAMES) if name not in names]
    with caplog.at_level(logging.WARNING):
        table = read_row(tmp_path, [NAMES[i] for i in kept], [ROW[i] for i in kept])
    unlabelled = np.isnan(table.points[0]).all(axis=1)
    assert unlabelled.nonzero()[0].tolist() == [kaggle.COORDINATES.index(names[0]) // 2]
    np.testing.assert_array_equal(
        table.points[0, ~unlabelled], (np.arange(30, dtype=np.float32) + 0.5).reshape(15, 2)[~unlabelled]
    )
    file, columns = tmp_path / "training.csv", ", ".join(names)
    assert [r.getMessage() for r in caplog.records] == [
        f"{file} has no column {columns}. These points have no label in any row."
    ]


def test_a_point_with_one_coordinate_is_unlabelled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        table = read_row(tmp_path, NAMES, with_cell("left_eye_center_x", ""))
    assert np.isnan(table.points).sum() == 2
    assert "points without a label: 1, the first in line 2" in caplog.text


@pytest.mark.parametrize("cell", ["", " ", "NaN", "NA", "null"])
def test_cells_without_a_label_are_nan_without_a_warning(
    tmp_path: Path, cell: str, caplog: pytest.LogCaptureFixture
) -> None:
    table = read_row(tmp_path, NAMES, [cell, cell, *ROW[2:]])
    assert np.isnan(table.points).sum() == 2
    assert not caplog.records


@pytest.mark.parametrize(
    ("names", "row", "message"),
    [
        (
            ["left_eye_centre_x", *NAMES[1:]],
            ROW,
            "'left_eye_centre_x' is unknown, and left_eye_center_x is missing",
        ),
        (NAMES[:-1], ROW[:-1], "The header has no column Image"),
        (["Image"], ROW[-1:], "The file has no columns of points"),
        (["ImageId", "Image"], ["1", ROW[-1]], "The file has no columns of points"),
        (NAMES, [""] * 30 + ROW[-1:], "No point of any row has a label"),
    ],
)
def test_a_training_file_needs_images_and_labels(
    tmp_path: Path, names: list[str], row: list[str], message: str
) -> None:
    with pytest.raises(BadLabelFile, match=message):
        read_row(tmp_path, names, row)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The file is empty"),
        ("ImageId,Image\n", "The file has a header, but no rows"),
        (f"Image\n{ROW[-1]}\n", "The header has no column ImageId"),
        (f"ImageId,Image\n4,{ROW[-1]}\n4,{ROW[-1]}\n", "line 3: ImageId 4 is also in line 2"),
        (f"ImageId,Image\n,{ROW[-1]}\n", "line 2: ImageId is ''"),
        (f"ImageId,Image\n{'9' * 30},{ROW[-1]}\n", "line 2: ImageId is '9999"),
    ],
)
def test_a_test_file_needs_rows_with_different_ids(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "test.csv").write_text(text)
    with pytest.raises(BadLabelFile, match=message):
        kaggle.read_images(tmp_path, "test")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "The file has a header, but no rows"),
        ("1,1,nose_tip_x\n1,2,nose_tip_x\n", "line 3: RowId 1 is also in line 2"),
        ("1,one,nose_tip_x\n", "line 2: ImageId is 'one'"),
        ("1,1,\n", "line 2: FeatureName is ''. It must be a coordinate, such as left_eye_center_x."),
        ("1,1\n", "line 2: The row has 2 cells; the header has 3 columns"),
    ],
)
def test_a_malformed_lookup_table_is_named(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "IdLookupTable.csv").write_text(f"RowId,ImageId,FeatureName\n{rows}")
    with pytest.raises(BadLabelFile, match=message):
        kaggle.read_lookup_table(tmp_path)


def test_a_lookup_table_of_a_spreadsheet_keeps_its_order(tmp_path: Path) -> None:
    text = "rowid;ImageID;Feature Name;Location\r\n9;2.0; Nose_Tip_X ;\r\n3;1;left_eye_center_y\r\n"
    (tmp_path / "idlookuptable.CSV").write_bytes(text.encode("utf-16"))
    assert kaggle.read_lookup_table(tmp_path) == kaggle.LookupTable((9, 3), (2, 1), (20, 1))


def test_the_five_points_are_in_the_order_of_the_detector() -> None:
    names = [KAGGLE15[i] for i in kaggle.FIVE]
    assert names == [
        "right_eye_center", "left_eye_center", "nose_tip", "mouth_right_corner", "mouth_left_corner"
    ]  # fmt: skip


@pytest.mark.skipif(not DATA.exists(), reason="the datasets are not part of this repository")
def test_kaggles_table_needs_all_points_of_all_test_images() -> None:
    lookup, table = kaggle.read_lookup_table(DATA), kaggle.read_images(DATA, "test")
    assert set(lookup.images) == set(table.ids.tolist())
    assert len(lookup.rows) == 30 * len(table)
