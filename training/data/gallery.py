"""Aligned faces of people in memory: what `prepare_people` writes, and what nets for embeddings train on."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64, Int64, UInt8
from numpy import ndarray

from training import augment
from training.data import records


@dataclass(frozen=True)
class Gallery:
    """Faces, each with its person's number and its address. The net's picture is the middle `span` pixels."""

    images: UInt8[ndarray, "n side side 3"]
    labels: Int64[ndarray, " n"]
    addresses: tuple[str, ...]
    span: int

    def __len__(self) -> int:
        return len(self.images)

    @property
    def people(self) -> int:
        """How many people there are."""
        return int(self.labels.max()) + 1

    def to_input(self, size: int) -> Float64[ndarray, "2 3"]:
        """The matrix from a crop to the net's picture of `size` x `size` pixels."""
        scale = size / self.span
        shift = (size - 1) / 2 - scale * (self.images.shape[1] - 1) / 2
        return np.array([[scale, 0, shift], [0, scale, shift]])

    def plain(self, size: int) -> UInt8[ndarray, "n size size 3"]:
        """The net's pictures as serving cuts them, but for the resampling."""
        matrix = self.to_input(size)
        return np.stack([augment.warp(image, matrix, size) for image in self.images])


def load(path: Path) -> Gallery:
    """The faces of a TFRecord file beside its `prepare.json`. Raises ValueError for an empty or odd one."""
    rows = list(records.read(path))
    if not rows:
        raise ValueError(f"{path} holds no faces")
    images = []
    for row in rows:
        image = np.asarray(cv2.imdecode(np.frombuffer(_bytes(row, "image"), np.uint8), cv2.IMREAD_COLOR_RGB))
        if image.shape[:2] != (int(row["height"][0]), int(row["width"][0])):
            raise ValueError(f"{path}: {_bytes(row, 'address').decode()} is not of the size it claims")
        images.append(image)
    return Gallery(
        np.stack(images),
        np.array([int(row["label"][0]) for row in rows], np.int64),
        tuple(_bytes(row, "address").decode() for row in rows),
        int(json.loads((path.parent / "prepare.json").read_text())["crop"]["span"]),
    )


def _bytes(row: records.Record, name: str) -> bytes:
    value = row[name]
    if not isinstance(value, bytes):
        raise ValueError(f"feature {name!r} is not bytes")
    return value
