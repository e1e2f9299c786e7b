"""WIDER FACE (Yang et al., 2016): pictures with boxes, from the official text format."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray


@dataclass(frozen=True)
class LabelledPicture:
    """A picture's file, its faces' boxes (n, 4) as x1, y1, x2, y2, and which of them are marked invalid."""

    path: Path
    boxes: ndarray
    invalid: ndarray


def read(root: Path, split: str) -> Iterator[LabelledPicture]:
    """The pictures of `train` or `val` under a WIDER folder, in the label file's order.

    Raises ValueError naming the line for a label file that is not in the official format.
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
            raise ValueError(f"{labels}, line {i + 1}: not in WIDER's format") from error
        i += 2 + max(count, 1)
        if count == 0:
            table = table[:0]
        boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
        yield LabelledPicture(root / f"WIDER_{split}" / "images" / name, boxes, table[:, 7] > 0)
