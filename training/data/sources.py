"""Readers of the datasets' own formats, all to one `Sample` type.

A new dataset is one function and one line in `READERS`. Points are pixels of the picture, whole numbers at
pixel centres; a point without a label is NaN. A photograph's faces share a photo id, and never straddle a
split.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from app.vision.image import decode
from app.vision.points import Scheme

Split = Literal["train", "validation", "test"]
MAX_PIXELS = 50_000_000
"""No picture of a dataset is larger."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Sample:
    """One labelled face: a picture (a file, or its pixels), the face's points, and where it belongs."""

    name: str
    photo: str
    image: Path | UInt8[ndarray, "h w 3"]
    points: Float32[ndarray, "k 2"]
    scheme: Scheme
    split: Split

    def pixels(self) -> UInt8[ndarray, "h w 3"]:
        """The picture, decoded as the service decodes it. Raises BadImage for a file that is no picture."""
        if not isinstance(self.image, Path):
            return self.image
        return decode(self.image.read_bytes(), MAX_PIXELS, self.image.name)


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


READERS: dict[str, Callable[[Path], Iterator[Sample]]] = {"300w": read_300w}
"""Every dataset by the name `prepare` takes."""


def with_validation(samples: Iterable[Sample], share: float, seed: int) -> list[Sample]:
    """The samples, with about `share` of the training photographs moved to validation.

    The choice is a hash of the photo id: it does not change as data are added, and keeps a photograph whole.
    """
    out = []
    for sample in samples:
        digest = hashlib.sha256(f"{seed}/{sample.photo}".encode()).digest()
        chosen = sample.split == "train" and int.from_bytes(digest[:8]) < share * 2**64
        out.append(replace(sample, split="validation") if chosen else sample)
    return out
