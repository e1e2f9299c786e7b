"""Kaggle's files, plain and zipped, well-formed and malformed."""

from pathlib import Path

import numpy as np
import pytest

from app.vision.points import KAGGLE15
from tests.training.kaggle_files import FOUR, pictures, write_asked, write_test, write_training
from training.data.datasets import kaggle

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
