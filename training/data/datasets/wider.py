"""WIDER FACE (Yang et al., 2016): photos with face boxes, from the official text format."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from training.data.datasets.label_text import BadLabelFile, finite_numbers, quoted, read_lines

MAX_COORDINATE = 1e6
"""Pixels. No photo has a greater side."""


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
        FileNotFoundError: there is no label file.
        BadLabelFile: the label file is not in the official format; the message has the line.
    """
    labels = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
    lines = read_lines(labels)
    i = 0
    while i < len(lines):
        name = lines[i][1].replace("\\", "/")
        count = _count(labels, lines, i)
        i += 2
        table = np.array([_face(labels, lines, j) for j in range(i, i + count)], np.float32).reshape(-1, 10)
        i += count
        if count == 0 and i < len(lines) and len(lines[i][1].split()) == 10:
            _face(labels, lines, i)  # such a photo has one row of zeros, which some copies of the file lack
            i += 1
        boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
        yield LabelledImage(root / f"WIDER_{split}" / "images" / name, boxes, table[:, 7] > 0)


def _count(labels: Path, lines: list[tuple[int, str]], i: int) -> int:
    """Return the number of faces of the photo whose name is in `lines[i]`.

    Raises:
        BadLabelFile: the next line is no number.
    """
    number, name = lines[i]
    text = lines[i + 1][1] if i + 1 < len(lines) else ""
    if not (text.isascii() and text.isdecimal()):
        cause = f"The number of faces must follow the photo {quoted(name)}, not {quoted(text)}."
        raise BadLabelFile(labels, cause, number)
    return int(text)


def _face(labels: Path, lines: list[tuple[int, str]], i: int) -> list[float]:
    """Return the ten numbers of a face: x, y, width, height, and six attributes.

    Raises:
        BadLabelFile: the file has ended, or the line has anything else.
    """
    if i >= len(lines):
        raise BadLabelFile(labels, "The file ends before the last face of this photo.", lines[-1][0])
    number, line = lines[i]
    try:
        values = finite_numbers(line.split())
    except ValueError as error:
        raise BadLabelFile(labels, f"Ten numbers of a face are expected, but {error}.", number) from error
    if len(values) != 10:
        raise BadLabelFile(labels, f"Ten numbers of a face are expected, not {len(values)}.", number)
    if min(values[2:4]) < 0 or max(map(abs, values)) > MAX_COORDINATE:
        cause = "A box is x, y, width and height in pixels. A side is negative, or a number is too large."
        raise BadLabelFile(labels, cause, number)
    return values
