"""Aligned faces of people, as `training.prepare identities` writes them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8
from numpy import ndarray

from training.data.storage import crops, tfrecord
from training.data.storage.prepared import BadPreparedData


@dataclass(frozen=True)
class IdentityCrops:
    """Aligned faces with the number of their person and their address.

    Attributes:
        images: RGB crops. A net gets the central `span` pixels of the side.
        labels: the person of each image, counted from 0; -1 for an unknown person.
        addresses: the path of each photo under the folder of its dataset.
        span: side in pixels of the central square.
        vectors: a teacher's vector of each image, of length 1; None without a teacher.
    """

    images: UInt8[ndarray, "n side side 3"]
    labels: Int64[ndarray, " n"]
    addresses: tuple[str, ...]
    span: int
    vectors: Float32[ndarray, "n d"] | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    @property
    def people(self) -> int:
        """The number of people."""
        return int(self.labels.max()) + 1

    def to_input(self, size: int) -> Float64[ndarray, "2 3"]:
        """Return the matrix from a crop to a net's input of `size` x `size` pixels."""
        return crops.to_input(self.images.shape[1], self.span, size)


def load(path: Path) -> IdentityCrops:
    """Return the faces of a TFRecord file; `prepare.json` beside it holds their span.

    Raises:
        BadPreparedData: the file is empty, damaged or of another kind.
        FileNotFoundError: the file or `prepare.json` is missing.
    """
    rows = list(tfrecord.read(path))
    if not rows:
        raise BadPreparedData(f"{path} holds no faces. Run `training.prepare identities` again.")
    if "label" not in rows[0]:
        raise BadPreparedData(
            f"{path} holds no faces of known people. Give a folder that `training.prepare identities` wrote."
        )
    images = []
    for row in rows:
        image = crops.decode_png(crops.bytes_of(row, "image"))
        if image.shape[:2] != (int(row["height"][0]), int(row["width"][0])):
            address = crops.bytes_of(row, "address").decode()
            raise BadPreparedData(f"{path}: the image {address} has another size than its record says.")
        images.append(image)
    return IdentityCrops(
        np.stack(images),
        np.array([int(row["label"][0]) for row in rows], np.int64),
        tuple(crops.bytes_of(row, "address").decode() for row in rows),
        int(json.loads((path.parent / "prepare.json").read_text())["crop"]["span"]),
        np.stack([row["vector"] for row in rows]) if "vector" in rows[0] else None,
    )
