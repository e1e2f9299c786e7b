"""Crops in memory: what `prepare` writes and `train` reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy import ndarray

from training.data import records


@dataclass(frozen=True)
class Crops:
    """Faces aligned by five points to a template, with a margin around what the net sees.

    The net's picture is the middle `span` pixels of the `side`, scaled to its input size. Points are
    pixels of the crop; `transforms` took the photograph's pixels there, and `corners` are the
    photograph's, clockwise from the top left. Beyond its edges, where serving has black, the photograph
    is mirrored on.
    """

    images: UInt8[ndarray, "n side side 3"]
    points: Float32[ndarray, "n k 2"]
    five: Float32[ndarray, "n 5 2"]
    transforms: Float32[ndarray, "n 2 3"]
    corners: Float32[ndarray, "n 4 2"]
    detected: Bool[ndarray, " n"]
    names: tuple[str, ...]
    photos: tuple[str, ...]
    span: int

    def __len__(self) -> int:
        return len(self.images)

    @property
    def side(self) -> int:
        return int(self.images.shape[1])

    def take(self, index: ndarray) -> "Crops":
        """The crops at `index`."""
        return Crops(
            self.images[index],
            self.points[index],
            self.five[index],
            self.transforms[index],
            self.corners[index],
            self.detected[index],
            tuple(self.names[i] for i in index),
            tuple(self.photos[i] for i in index),
            self.span,
        )

    def to_input(self, size: int) -> Float32[ndarray, "2 3"]:
        """The matrix from a crop to the net's picture of `size` x `size` pixels."""
        scale = size / self.span
        shift = (size - 1) / 2 - scale * (self.side - 1) / 2
        return np.array([[scale, 0, shift], [0, scale, shift]], np.float32)


def save(path: Path, crops: Crops) -> int:
    """Writes the crops as a TFRecord file, pictures as PNG. Needs TensorFlow."""
    return records.write(path, _records(crops))


def _records(crops: Crops) -> Iterator[records.Record]:
    for i in range(len(crops)):
        _, png = cv2.imencode(".png", np.ascontiguousarray(crops.images[i, :, :, ::-1]))
        yield {
            "image": png.tobytes(),
            "points": crops.points[i],
            "five": crops.five[i],
            "transform": crops.transforms[i],
            "corners": crops.corners[i],
            "detected": np.array([crops.detected[i]], np.int64),
            "name": crops.names[i].encode(),
            "photo": crops.photos[i].encode(),
            "span": np.array([crops.span], np.int64),
        }


def load(path: Path) -> Crops:
    """The crops of a TFRecord file. Raises ValueError for an empty or broken one."""
    rows = list(records.read(path))
    if not rows:
        raise ValueError(f"{path} holds no crops")
    images = [_picture(_bytes(row, "image")) for row in rows]
    spans = {int(r["span"][0]) for r in rows}
    if len(spans) != 1 or len({image.shape for image in images}) != 1:
        raise ValueError(f"{path} mixes crops of several sizes")
    return Crops(
        np.stack(images),
        _table(rows, "points", (-1, 2)),
        _table(rows, "five", (5, 2)),
        _table(rows, "transform", (2, 3)),
        _table(rows, "corners", (4, 2)),
        np.array([bool(r["detected"][0]) for r in rows]),
        tuple(_bytes(r, "name").decode() for r in rows),
        tuple(_bytes(r, "photo").decode() for r in rows),
        spans.pop(),
    )


def _picture(png: bytes) -> ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB))


def _bytes(row: records.Record, name: str) -> bytes:
    value = row[name]
    if not isinstance(value, bytes):
        raise ValueError(f"feature {name!r} is not bytes")
    return value


def _table(rows: list[dict[str, records.Value]], name: str, shape: tuple[int, ...]) -> ndarray:
    return np.stack([np.asarray(row[name], np.float32).reshape(shape) for row in rows])
