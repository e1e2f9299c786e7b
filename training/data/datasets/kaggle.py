"""Kaggle's Facial Keypoints Detection: its CSV files, plain or packed.

Images are 96x96 and grey, as one string of numbers per row. Points are in pixels with centres at integers, as
in this project. An empty cell is a point without a label and becomes NaN, and so does a missing column.

Files that a spreadsheet or a script wrote again are read where their meaning is clear: other encodings, line
ends and separators, decimal commas, whole numbers such as `238.0`. Anything else is an error that names the
file and the line.
"""

import difflib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int, UInt8
from numpy import ndarray

from app.vision.points import KAGGLE15
from training.data.datasets.csv_tables import Row, Table, one_of, open_table
from training.data.datasets.label_text import BadLabelFile, finite_numbers, quoted

logger = logging.getLogger(__name__)

SIDE = 96
COORDINATES = tuple(f"{point}_{axis}" for point in KAGGLE15 for axis in "xy")
"""Names of the coordinates, in the order of the columns of a training file."""

FIVE = [
    KAGGLE15.index(name)
    for name in (
        "right_eye_center",
        "left_eye_center",
        "nose_tip",
        "mouth_right_corner",
        "mouth_left_corner",
    )
]
"""Indices of the detector's five points, in the order of `app.vision.points.FIVE`."""

TRAINING = "training"
"""Name of the file with labels."""

UNLABELLED = frozenset({"", "nan", "na", "n/a", "null", "none"})
"""Cells of a point without a label, in lower case."""


@dataclass(frozen=True)
class KaggleImages:
    """The rows of a file.

    Attributes:
        ids: the column `ImageId`; in a training file, which has none, the number of the row from 1.
        images: grey pixels.
        points: points in pixels; NaN without a label.
    """

    ids: Int[ndarray, " n"]
    images: UInt8[ndarray, "n 96 96"]
    points: Float32[ndarray, "n 15 2"]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def rgb(self, row: int) -> UInt8[ndarray, "96 96 3"]:
        """Return the image of a row with three equal channels, as the service decodes a grey image."""
        return np.repeat(self.images[row, :, :, None], 3, axis=2)


@dataclass(frozen=True)
class LookupTable:
    """The rows of `IdLookupTable.csv`, which says which coordinates a submission needs.

    Attributes:
        rows: the column `RowId`.
        images: the column `ImageId`.
        coordinates: indices in `COORDINATES` of the column `FeatureName`.
    """

    rows: tuple[int, ...]
    images: tuple[int, ...]
    coordinates: tuple[int, ...]


def read_images(folder: Path, name: str) -> KaggleImages:
    """Return the rows of a CSV file. A point is NaN if a column or a cell of it is missing.

    If the file has the columns of some points only, or cells of one coordinate only, a warning says so. The
    file `training` needs labels; any other needs the column `ImageId`.

    Args:
        folder: the folder with `<name>.csv`, or with `<name>.zip` that contains it.
        name: name of the file, such as `training` or `test`.

    Raises:
        FileNotFoundError: the folder has neither file.
        BadLabelFile: the file or a row is malformed; the message has the file and the line.
    """
    images, points = [], []
    lines: dict[int, int] = {}
    needed = ("Image",) if name == TRAINING else ("ImageId", "Image")
    with open_table(folder, name, ("ImageId", "Image", *COORDINATES), needed) as table:
        _check_labels(table, name)
        for row in table.rows:
            number = row.integer("ImageId") if "ImageId" in table.columns else len(lines) + 1
            if number in lines:
                raise row.error(f"ImageId {number} is also in line {lines[number]}. Remove one of the rows.")
            lines[number] = row.line
            images.append(_pixels(row))
            points.append([_coordinate(row, column) for column in COORDINATES])
    _check_rows(table, len(lines))
    array = np.array(points, np.float32).reshape(-1, len(KAGGLE15), 2)
    array = _whole_points(array, [*lines.values()], table)
    if name == TRAINING and np.isnan(array).all():
        raise BadLabelFile(table.path, "No point of any row has a label.")
    return KaggleImages(np.array([*lines], np.int64), np.stack(images), array)


def read_lookup_table(folder: Path) -> LookupTable:
    """Return the rows of `IdLookupTable.csv` in their order.

    Raises:
        FileNotFoundError: the folder has neither the file nor its zip.
        BadLabelFile: the file or a row is malformed; the message has the file and the line.
    """
    columns = ("RowId", "ImageId", "FeatureName")
    images, coordinates = [], []
    lines: dict[int, int] = {}
    with open_table(folder, "IdLookupTable", columns, columns) as table:
        for row in table.rows:
            number, feature = row.integer("RowId"), row.cells["FeatureName"]
            if number in lines:
                raise row.error(f"RowId {number} is also in line {lines[number]}. Each row needs its own.")
            coordinate = one_of(COORDINATES, feature)
            if coordinate is None:
                cause = (
                    f"FeatureName is {quoted(feature)}. It must be a coordinate, such as {COORDINATES[0]}."
                )
                raise row.error(cause)
            lines[number] = row.line
            images.append(row.integer("ImageId"))
            coordinates.append(COORDINATES.index(coordinate))
    _check_rows(table, len(lines))
    return LookupTable(tuple(lines), tuple(images), tuple(coordinates))


def _check_labels(table: Table, name: str) -> None:
    """Warn of missing columns of points.

    Raises:
        BadLabelFile: a training file has no such column, or the name of one is misspelt.
    """
    missing = [column for column in COORDINATES if column not in table.columns]
    for column in table.unknown:
        if similar := difflib.get_close_matches(column.lower(), missing, 1, 0.9):
            cause = f"The column {quoted(column)} is unknown, and {similar[0]} is missing. Rename it."
            raise BadLabelFile(table.path, cause)
    if len(missing) < len(COORDINATES):
        if missing:
            listed = ", ".join(missing)
            logger.warning("%s has no column %s. These points have no label in any row.", table.path, listed)
    elif name == TRAINING:
        cause = f"The file has no columns of points, such as {COORDINATES[0]}. Training needs labels."
        raise BadLabelFile(table.path, cause)


def _check_rows(table: Table, count: int) -> None:
    if count == 0:
        raise BadLabelFile(table.path, "The file has a header, but no rows.")


def _whole_points(
    points: Float32[ndarray, "n 15 2"], lines: list[int], table: Table
) -> Float32[ndarray, "n 15 2"]:
    """Return the points; those with one coordinate become NaN, with a warning if its column is there."""
    unknown = np.isnan(points)
    has_columns = np.array([c in table.columns for c in COORDINATES]).reshape(-1, 2).all(axis=1)
    halves = (unknown.any(axis=2) & ~unknown.all(axis=2) & has_columns).sum(axis=1)
    if halves.any():
        logger.warning(
            "%s: points with one coordinate count as points without a label: %d, the first in line %d.",
            table.path,
            halves.sum(),
            lines[int(halves.argmax())],
        )
    return np.where(unknown.any(axis=2, keepdims=True), np.float32(np.nan), points)


def _coordinate(row: Row, column: str) -> float:
    text = row.cells.get(column, "")
    if text.lower() in UNLABELLED:
        return np.nan
    try:
        value = finite_numbers([_with_decimal_point(text)])[0]
    except ValueError as error:
        raise row.error(
            f"{column} is {quoted(text)}. It must be a number, or empty without a label."
        ) from error
    if not -SIDE <= value <= 2 * SIDE:
        raise row.error(
            f"{column} is {quoted(text)}. Images have {SIDE}x{SIDE} pixels, so this is no point of one."
        )
    return value


def _pixels(row: Row) -> UInt8[ndarray, "96 96"]:
    text = row.cells["Image"]
    if re.fullmatch("[0-9 ]+", text):
        values = np.fromstring(text, np.int64, sep=" ")
    else:
        cells = text.strip("[]").split()
        if len(cells) == 1:
            cells = cells[0].split(",")
        try:
            values = np.array(finite_numbers([_with_decimal_point(cell.rstrip(",")) for cell in cells]))
        except ValueError as error:
            raise row.error(f"Image must be {SIDE * SIDE} numbers, but {error}.") from error
    if len(values) != SIDE * SIDE:
        raise row.error(f"Image has {len(values)} numbers. {SIDE}x{SIDE} pixels are {SIDE * SIDE} numbers.")
    wrong = (values < 0) | (values > 255) | (values != np.round(values))
    if wrong.any():
        first = int(wrong.argmax())
        cause = f"Pixel {first + 1} is {values[first]:g}. It must be a whole number from 0 to 255."
        if values.min() >= 0 and values.max() <= 1:
            cause += " The image seems to be scaled to 0..1: multiply it by 255, and round."
        raise row.error(cause)
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def _with_decimal_point(text: str) -> str:
    return text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
