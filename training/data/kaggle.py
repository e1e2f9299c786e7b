"""Kaggle's Facial Keypoints Detection: its CSV files, plain or zipped, and the coordinates it asks for.

Pictures are 96x96 and grey, one string of numbers a row. Points are their pixels with centres at whole
numbers, as here; an empty cell is a point without a label, NaN.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from jaxtyping import Float32, Int, UInt8
from numpy import ndarray

from app.vision.points import KAGGLE15

SIDE = 96
COORDINATES = tuple(f"{point}_{axis}" for point in KAGGLE15 for axis in "xy")
"""The names of the coordinates, in the order of a training file's columns."""

FIVE = [KAGGLE15.index(f"{side}_eye_center") for side in ("right", "left")]
FIVE += [KAGGLE15.index(name) for name in ("nose_tip", "mouth_right_corner", "mouth_left_corner")]
"""The detector's five points among the 15."""


@dataclass(frozen=True)
class Pictures:
    """The rows of a file: ids (in a training file, numbers from 1), pictures, and points, if any."""

    ids: Int[ndarray, " n"]
    images: UInt8[ndarray, "n 96 96"]
    points: Float32[ndarray, "n 15 2"]

    def __len__(self) -> int:
        return len(self.ids)

    def rgb(self, row: int) -> UInt8[ndarray, "96 96 3"]:
        """A row's picture as the service would see it: grey in all three channels."""
        return np.repeat(self.images[row, :, :, None], 3, axis=2)


@dataclass(frozen=True)
class Asked:
    """The rows of `IdLookupTable.csv`: which coordinate of which picture is asked for."""

    rows: tuple[int, ...]
    images: tuple[int, ...]
    coordinates: tuple[int, ...]


def read_pictures(folder: Path, name: str) -> Pictures:
    """`name`.csv of the folder, or the one in `name`.zip.

    A file without columns of points, such as `test`, has NaN for all. Raises FileNotFoundError where neither
    is there, and ValueError, naming the line, for a row that is none.
    """
    ids: list[int] = []
    images, points = [], []
    with _opened(folder, name) as (path, file):
        reader = csv.DictReader(file)
        unlabelled = [np.nan] * len(COORDINATES)
        for row in reader:
            try:
                ids.append(int(row.get("ImageId") or len(ids) + 1))
                images.append(_picture(row["Image"]))
                labelled = COORDINATES[0] in row
                points.append([float(row[c] or "nan") for c in COORDINATES] if labelled else unlabelled)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error!r}") from error
    return Pictures(
        np.array(ids, np.int64),
        np.array(images, np.uint8).reshape(-1, SIDE, SIDE),
        np.array(points, np.float32).reshape(-1, len(KAGGLE15), 2),
    )


def read_asked(folder: Path) -> Asked:
    """`IdLookupTable.csv`, in its order. Raises ValueError, naming the line, for a row that is none."""
    rows = []
    with _opened(folder, "IdLookupTable") as (path, file):
        reader = csv.DictReader(file)
        for row in reader:
            try:
                found = (int(row["RowId"]), int(row["ImageId"]), COORDINATES.index(row["FeatureName"]))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error!r}") from error
            rows.append(found)
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return Asked(*(tuple(column) for column in columns))


def _picture(text: str) -> UInt8[ndarray, " pixels"]:
    values = np.array(text.split(), np.int64)
    if len(values) != SIDE * SIDE or values.min() < 0 or values.max() > 255:
        raise ValueError(f"a picture is {SIDE * SIDE} numbers of 0 to 255")
    return values.astype(np.uint8)


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[tuple[Path, TextIO]]:
    plain, packed = folder / f"{name}.csv", folder / f"{name}.zip"
    if plain.exists():
        with plain.open(encoding="ascii", newline="") as file:
            yield plain, file
    elif packed.exists():
        with zipfile.ZipFile(packed) as archive, archive.open(f"{name}.csv") as member:
            yield packed, io.TextIOWrapper(member, encoding="ascii", newline="")
    else:
        raise FileNotFoundError(f"{folder} holds neither {name}.csv nor {name}.zip")
