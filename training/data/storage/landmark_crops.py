"""Aligned faces with landmarks, as `training.prepare landmarks` writes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy import ndarray

from training.data.storage import crops, tfrecord
from training.data.storage.prepared import BadPreparedData

_ARRAYS = ("images", "points", "five", "transforms", "corners", "detected")


@dataclass(frozen=True)
class LandmarkCrops:
    """Faces aligned to a template by five points, with a margin around the input of a net.

    Attributes:
        images: RGB crops. A net gets the central `span` pixels of the side. Beyond the photo's edges, where
            serving has black, the photo is mirrored.
        points: labels in pixels of the crop; NaN without a label.
        five: the five points that aligned the face, in pixels of the crop.
        transforms: matrices from the photo's pixels to the crop's.
        corners: the photo's corners in pixels of the crop, clockwise from the top left.
        detected: whether the detector found the face.
        names: the name of each sample.
        photos: the photo of each sample; faces of one photo share it.
        span: side in pixels of the central square.
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
        """Return the number of faces."""
        return len(self.images)

    @property
    def side(self) -> int:
        """The side of the crops in pixels."""
        return int(self.images.shape[1])

    def take(self, index: ndarray) -> "LandmarkCrops":
        """Return the crops at `index`."""
        return LandmarkCrops(
            **{name: getattr(self, name)[index] for name in _ARRAYS},
            names=tuple(self.names[i] for i in index),
            photos=tuple(self.photos[i] for i in index),
            span=self.span,
        )

    def to_input(self, size: int) -> Float32[ndarray, "2 3"]:
        """Return the matrix from a crop to a net's input of `size` x `size` pixels."""
        return crops.to_input(self.side, self.span, size).astype(np.float32)


def concatenate(first: LandmarkCrops, second: LandmarkCrops) -> LandmarkCrops:
    """Return the crops of both sets.

    Raises:
        ValueError: the sizes of the crops differ.
    """
    if (first.side, first.span) != (second.side, second.span):
        raise ValueError(
            f"The crops have {first.side} and {second.side} pixels. Prepare both sets with the same --crop."
        )
    arrays = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in _ARRAYS}
    names, photos = first.names + second.names, first.photos + second.photos
    return LandmarkCrops(**arrays, names=names, photos=photos, span=first.span)


def save(path: Path, faces: LandmarkCrops) -> int:
    """Write the crops as a TFRecord file with PNG images. Needs TensorFlow.

    Returns:
        The number of records.
    """
    return tfrecord.write(path, _records(faces))


def load(path: Path) -> LandmarkCrops:
    """Return the crops of a TFRecord file.

    Raises:
        BadPreparedData: the file is empty, damaged, of another kind, or mixes crops of several sizes.
        FileNotFoundError: the file does not exist.
    """
    rows = list(tfrecord.read(path))
    if not rows:
        raise BadPreparedData(f"{path} holds no crops. Run `training.prepare landmarks` again.")
    if "points" not in rows[0]:
        raise BadPreparedData(
            f"{path} holds no faces with landmarks. Give a folder that `training.prepare landmarks` wrote."
        )
    images = [crops.decode_png(crops.bytes_of(row, "image")) for row in rows]
    spans = {int(r["span"][0]) for r in rows}
    if len(spans) != 1 or len({image.shape for image in images}) != 1:
        raise BadPreparedData(f"{path} mixes crops of several sizes. Prepare all sets with the same --crop.")
    return LandmarkCrops(
        np.stack(images),
        _column(rows, "points", (-1, 2)),
        _column(rows, "five", (5, 2)),
        _column(rows, "transform", (2, 3)),
        _column(rows, "corners", (4, 2)),
        np.array([bool(r["detected"][0]) for r in rows]),
        tuple(crops.bytes_of(r, "name").decode() for r in rows),
        tuple(crops.bytes_of(r, "photo").decode() for r in rows),
        spans.pop(),
    )


def _records(faces: LandmarkCrops) -> Iterator[tfrecord.Record]:
    for i in range(len(faces)):
        yield {
            "image": crops.encode_png(faces.images[i]),
            "points": faces.points[i],
            "five": faces.five[i],
            "transform": faces.transforms[i],
            "corners": faces.corners[i],
            "detected": np.array([faces.detected[i]], np.int64),
            "name": faces.names[i].encode(),
            "photo": faces.photos[i].encode(),
            "span": np.array([faces.span], np.int64),
        }


def _column(rows: list[dict[str, tfrecord.Value]], name: str, shape: tuple[int, ...]) -> ndarray:
    return np.stack([np.asarray(row[name], np.float32).reshape(shape) for row in rows])
