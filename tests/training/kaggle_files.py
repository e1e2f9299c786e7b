"""Files in Kaggle's format, of synthetic images."""

import csv
import zipfile
from pathlib import Path

import numpy as np
from numpy import ndarray

from training.data.datasets import kaggle

FOUR = [0, 1, 10, 14]
"""The labelled points of rows with few labels."""


def pictures(count: int, seed: int = 0) -> ndarray:
    """Return grey noise (count, 96, 96)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 96, 96), np.uint8)


def write_training(folder: Path, images: ndarray, points: ndarray, packed: bool = False) -> None:
    """Write `training.csv`, or the zip with it; NaN is an empty cell."""
    rows = [
        [*("" if np.isnan(v) else f"{v:.9g}" for v in face.ravel()), _text(image)]
        for image, face in zip(images, points, strict=True)
    ]
    _write(folder, "training", [*kaggle.COORDINATES, "Image"], rows, packed)


def write_test(folder: Path, images: ndarray, ids: list[int], packed: bool = False) -> None:
    """Write `test.csv`, or the zip with it."""
    rows = [[str(i), _text(image)] for i, image in zip(ids, images, strict=True)]
    _write(folder, "test", ["ImageId", "Image"], rows, packed)


def write_asked(folder: Path, asked: list[tuple[int, int, str]]) -> None:
    """Write `IdLookupTable.csv`."""
    rows = [[str(row), str(image), name, ""] for row, image, name in asked]
    _write(folder, "IdLookupTable", ["RowId", "ImageId", "FeatureName", "Location"], rows, False)


def _text(image: ndarray) -> str:
    return " ".join(map(str, image.ravel()))


def _write(folder: Path, name: str, head: list[str], rows: list[list[str]], packed: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    if packed:
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, path.name)
        path.unlink()
