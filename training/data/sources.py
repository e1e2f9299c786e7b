"""Readers of the datasets' own formats, all to one `Sample` type.

A new dataset is one function and one line in `READERS`. Points are pixels of the picture, whole numbers at
pixel centres; a point without a label is NaN. A photograph's faces share a photo id, and never straddle a
split.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from app.vision.points import Scheme, fifteen_of_ibug68
from training.data import kaggle
from training.data.images import read_image

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Sample:
    """One labelled face: a picture (a file, or its pixels), the face's points, and where it belongs.

    A `portrait` is a picture cut around this one face.
    """

    name: str
    photo: str
    image: Path | UInt8[ndarray, "h w 3"]
    points: Float32[ndarray, "k 2"]
    scheme: Scheme
    split: Split
    portrait: bool = False

    def pixels(self) -> UInt8[ndarray, "h w 3"]:
        """The picture, decoded as the service decodes it. Raises BadImage for a file that is no picture."""
        if not isinstance(self.image, Path):
            return self.image
        return read_image(self.image)


@dataclass(frozen=True)
class PtsFolder:
    """A folder of 300-W: its place, the split it belongs to, and what its photo ids are made from.

    `photo` is a pattern whose first group, in the file's stem, is the photograph; ids of folders of one
    `family` are of one kind, so that a photograph that two folders use is one photograph.
    """

    folder: str
    split: Split
    family: str
    photo: str


PTS_FOLDERS = (
    PtsFolder("helen/trainset", "train", "flickr", r"(.+)_\d+$"),
    PtsFolder("afw", "train", "flickr", r"(.+)_\d+$"),
    PtsFolder("lfpw/trainset", "train", "lfpw-train", r"(.+)$"),
    PtsFolder("lfpw/testset", "test", "lfpw-test", r"(.+)$"),
)
"""300-W's folders. `lfpw/testset` is the test set: neither trained on nor used to choose anything."""

PICTURES = (".jpg", ".jpeg", ".png")


def read_pts(path: Path) -> Float32[ndarray, "k 2"]:
    """A `.pts` file's points: `version`, `n_points`, then one `x y` a line in braces. Raises ValueError."""
    text = path.read_text(encoding="ascii")
    match = re.fullmatch(r"\s*version:\s*\d+\s+n_points:\s*(\d+)\s*\{(.*)\}\s*", text, re.DOTALL)
    if match is None:
        raise ValueError(f"{path} is no .pts file")
    values = np.array(match[2].split(), np.float32)
    if len(values) != 2 * int(match[1]):
        raise ValueError(f"{path} names {match[1]} points and holds {len(values)} numbers")
    return values.reshape(-1, 2)


def read_300w(data: Path) -> Iterator[Sample]:
    """300-W (Sagonas et al., 2013) under `data`/300w: every `.pts` with its picture, in order of name."""
    root = data / "300w"
    for kind in PTS_FOLDERS:
        for path in sorted((root / kind.folder).glob("*.pts")):
            match = re.match(kind.photo, path.stem)
            if match is None:
                raise ValueError(f"{path}: the name does not tell the photograph")
            yield Sample(
                name=f"{kind.folder}/{path.stem}",
                photo=f"{kind.family}/{match[1]}",
                image=_picture(path),
                points=read_pts(path),
                scheme="ibug68",
                split=kind.split,
            )


def _picture(path: Path) -> Path:
    for suffix in PICTURES:
        if (image := path.with_suffix(suffix)).exists():
            return image
    raise FileNotFoundError(f"{path} has no picture beside it")


SAME_FACE = 0.01
"""Root mean square distance, in pixels of Kaggle's picture, below which points are those of a face."""

LEAST_POINTS = 4
"""Fewer points fit too many faces."""


def read_kaggle15(data: Path) -> Iterator[Sample]:
    """The labelled rows of Kaggle's Facial Keypoints Detection under `data`/kaggle15.

    The file names no photographs. Where 300-W lies beside it, a row whose points are those of one of its
    faces, scaled and shifted, is of that face's photograph; any other row is a photograph of its own.
    """
    table = kaggle.read_pictures(data / "kaggle15", "training")
    photos = _photographs(table.points, list(read_300w(data)))
    for i, photo in enumerate(photos):
        name = f"kaggle15/{table.ids[i]}"
        yield Sample(name, photo or name, table.rgb(i), table.points[i], "kaggle15", "train", portrait=True)


def _photographs(points: Float32[ndarray, "n 15 2"], faces: list[Sample]) -> list[str | None]:
    """The photograph of the face that each row of points is of, None where there is no such face."""
    if not faces:
        return [None] * len(points)
    shapes = fifteen_of_ibug68(np.stack([face.points for face in faces])).astype(np.float64)
    out: list[str | None] = []
    for row in points:
        known = np.isfinite(row).all(axis=1)
        shape, wanted = shapes[:, known], row[known].astype(np.float64)
        shape = shape - shape.mean(axis=1, keepdims=True)
        wanted = wanted - wanted.mean(axis=0)
        scale = (shape * wanted).sum(axis=(1, 2)) / np.square(shape).sum(axis=(1, 2))
        off = np.sqrt(np.square(scale[:, None, None] * shape - wanted).sum(axis=2).mean(axis=1))
        best = int(off.argmin())
        out.append(faces[best].photo if known.sum() >= LEAST_POINTS and off[best] < SAME_FACE else None)
    return out


READERS: dict[str, Callable[[Path], Iterator[Sample]]] = {"300w": read_300w, "kaggle15": read_kaggle15}
"""Every dataset by the name `prepare` takes."""


def with_validation(samples: Iterable[Sample], validation: float, seed: int) -> list[Sample]:
    """The samples, with a part of the training photographs moved to validation.

    Below 1, `validation` is the share of photographs, which is met about; from 1 on it is a number of faces,
    which is met where photographs of the right size are there. The choice goes by a hash of the photo id, and
    keeps a photograph whole; a share's does not change as data are added.
    """
    listed = list(samples)

    def draw(photo: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{seed}/{photo}".encode()).digest()[:8])

    faces = Counter(sample.photo for sample in listed if sample.split == "train")
    if validation < 1:
        chosen = {photo for photo in faces if draw(photo) < validation * 2**64}
    else:
        chosen, left = set(), int(validation)
        for photo in sorted(faces, key=draw):
            if faces[photo] <= left:
                chosen.add(photo)
                left -= faces[photo]
    return [replace(s, split="validation") if s.split == "train" and s.photo in chosen else s for s in listed]
