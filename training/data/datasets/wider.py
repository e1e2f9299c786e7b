"""WIDER FACE (Yang et al., 2016): photos with face boxes, from the official text format."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray


@dataclass(frozen=True)
class LabelledImage:
    """A photo and its faces.

    Attributes:
        path: the image file.
        boxes: boxes of the faces, x1, y1, x2, y2 in pixels.
        invalid: faces that the labels mark as invalid.
    """

    path: Path
    boxes: Float32[ndarray, "n 4"]
    invalid: Bool[ndarray, " n"]


def read(root: Path, split: str) -> Iterator[LabelledImage]:
    """Yield the photos of a split in the order of the label file.

    Args:
        root: the folder of WIDER FACE.
        split: `train` or `val`.

    Yields:
        The photos; their files are not opened.

    Raises:
        ValueError: the label file is not in the official format; the message has the line.
    """
    labels = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
    lines = labels.read_text().splitlines()
    i = 0
    while i < len(lines):
        name = lines[i].strip()
        try:
            count = int(lines[i + 1])
            rows = [[float(v) for v in line.split()] for line in lines[i + 2 : i + 2 + max(count, 1)]]
            table = np.array(rows, np.float32).reshape(-1, 10)
        except (IndexError, ValueError) as error:
            raise ValueError(f"{labels}, line {i + 1}: this is not WIDER FACE's format.") from error
        i += 2 + max(count, 1)
        if count == 0:  # such a photo has one row of zeros
            table = table[:0]
        boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
        yield LabelledImage(root / f"WIDER_{split}" / "images" / name, boxes, table[:, 7] > 0)
