"""Labelled photographs in memory, as the cascade learns from them: WIDER FACE's boxes, MTFL's five points."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from app.vision.points import five_of_ibug68
from app.vision.pyramid import ImagePyramid
from training.data import crops, wider
from training.data.images import read_image

LEAST_HEIGHT = 8.0
"""Pixels: smaller faces of WIDER are neither sought nor counted as something else."""


@dataclass(frozen=True)
class Scene:
    """A photograph, its faces (n, 4), and which of them neither count as faces nor as anything else."""

    name: str
    picture: ImagePyramid
    faces: Float32[ndarray, "n 4"]
    ignored: Bool[ndarray, " n"]


@dataclass(frozen=True)
class Portrait:
    """A photograph around one face, with five points in the order of `app.vision.points.FIVE`."""

    name: str
    picture: ImagePyramid
    points: Float32[ndarray, "5 2"]


def read_wider(root: Path, split: str) -> list[Scene]:
    """WIDER's photographs with their faces; invalid and tiny ones are ignored."""
    return [_scene(labelled) for labelled in wider.read(root, split)]


def _scene(labelled: wider.LabelledPicture) -> Scene:
    height = labelled.boxes[:, 3] - labelled.boxes[:, 1]
    width = labelled.boxes[:, 2] - labelled.boxes[:, 0]
    image = read_image(labelled.path)
    ignored = labelled.invalid | (height < LEAST_HEIGHT) | (width <= 0)
    return Scene(labelled.path.name, ImagePyramid(image), labelled.boxes, ignored)


def read_mtfl(root: Path, split: str) -> list[Portrait]:
    """MTFL (Zhang et al., 2014), `training` or `testing`: a line is the path, five x, then five y.

    Its left is the picture's, which is the order of `FIVE`; its coordinates count from 0 at pixel centres.
    Raises ValueError naming the line that is none.
    """
    out = []
    for number, line in enumerate((root / f"{split}.txt").read_text().splitlines(), 1):
        if not line.strip():
            continue
        name, *values = line.split()
        try:
            points = np.array(values, np.float32).reshape(2, 5).T.copy()
        except ValueError as error:
            raise ValueError(f"{root / split}.txt, line {number}: not a path and ten numbers") from error
        image = read_image(root / name.replace("\\", "/"))
        out.append(Portrait(name, ImagePyramid(image), points))
    return out


def read_crops(path: Path) -> list[Portrait]:
    """Faces with 68 points that `training.data.prepare` or `.taught` wrote, as portraits with five."""
    faces = crops.load(path)
    five = five_of_ibug68(faces.points).astype(np.float32)
    return [Portrait(name, ImagePyramid(faces.images[i]), five[i]) for i, name in enumerate(faces.names)]


def alike(
    known: list[Portrait], boxes: Float32[ndarray, "n 4"], others: list[Portrait]
) -> Float32[ndarray, "m 4"]:
    """Boxes for other portraits, that lie around their points as the known ones' do."""
    unit = np.median((boxes - _centre(known)) / _spread(known), axis=0)
    return (_centre(others) + unit * _spread(others)).astype(np.float32)


def _centre(portraits: list[Portrait]) -> ndarray:
    return np.tile(np.stack([p.points for p in portraits]).mean(axis=1), 2)


def _spread(portraits: list[Portrait]) -> ndarray:
    """The points' mean spread, a portrait (n, 1)."""
    return np.stack([p.points for p in portraits]).std(axis=1).mean(axis=1)[:, None]


def held_out(name: str, share: float, seed: int) -> bool:
    """Whether a photograph is kept for validation; a hash of its name decides."""
    draw = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8])
    return draw < share * 2**64


def data_hash(files: Iterable[Path]) -> str:
    """One sha256 over label files, candidates and whatever else a run learns from, by name and content."""
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()
