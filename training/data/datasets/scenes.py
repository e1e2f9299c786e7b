"""Labelled photos in memory for training the cascade: WIDER FACE's boxes and portraits with five points."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from app.vision.points import COUNTS, five_of_ibug68
from app.vision.pyramid import ImagePyramid
from training.data.datasets import wider
from training.data.datasets.images import read_image
from training.data.datasets.label_text import BadLabelFile, finite_numbers, read_lines
from training.data.storage import landmark_crops
from training.data.storage.prepared import BadPreparedData

MIN_FACE_HEIGHT = 8.0
"""Pixels. Smaller faces of WIDER FACE are neither positives nor negatives."""


@dataclass(frozen=True)
class Scene:
    """A photo and its faces.

    Attributes:
        name: file name of the photo.
        picture: the pixels.
        faces: boxes x1, y1, x2, y2 in pixels.
        ignored: faces that are neither positives nor negatives.
    """

    name: str
    picture: ImagePyramid
    faces: Float32[ndarray, "n 4"]
    ignored: Bool[ndarray, " n"]


@dataclass(frozen=True)
class Portrait:
    """A photo around one face, with five points in pixels in the order of `app.vision.points.FIVE`.

    Attributes:
        name: its path in its dataset, with slashes, or the name of its sample.
        picture: the pixels.
        points: five points.
        photo: id of the photo that it was cut from, which other portraits may share; empty if none does.
    """

    name: str
    picture: ImagePyramid
    points: Float32[ndarray, "5 2"]
    photo: str = ""


def read_wider(root: Path, split: str) -> list[Scene]:
    """Return the photos of WIDER FACE; invalid and tiny faces are ignored.

    Args:
        root: the folder `wider`.
        split: `train` or `val`.

    Raises:
        FileNotFoundError: there is no label file, or a photo is missing.
        BadLabelFile: the label file is not in the official format, or a box is outside of its photo.
        BadImage: a photo cannot be read.
    """
    return [_scene(labelled) for labelled in wider.read(root, split)]


def _scene(labelled: wider.LabelledImage) -> Scene:
    height = labelled.boxes[:, 3] - labelled.boxes[:, 1]
    width = labelled.boxes[:, 2] - labelled.boxes[:, 0]
    ignored = labelled.invalid | (height < MIN_FACE_HEIGHT) | (width <= 0)
    picture = ImagePyramid(read_image(labelled.path))
    centres = (labelled.boxes[~ignored, :2] + labelled.boxes[~ignored, 2:]) / 2
    if ((centres < 0) | (centres > (picture.width, picture.height))).any():
        raise BadLabelFile(
            labelled.path,
            f"The centre of a box is outside of the photo of {picture.width} x {picture.height} pixels. A "
            "box is x, y, width and height, not two corners.",
        )
    return Scene(labelled.path.name, picture, labelled.boxes, ignored)


def read_mtfl(root: Path, split: str) -> list[Portrait]:
    """Return the portraits of MTFL (Zhang et al., 2014).

    A line of the label file is the path, five x, then five y; four attributes may follow. Its left is the
    image's left, which is the order of `FIVE`; pixel centres are at integers.

    Args:
        root: the folder `mtfl5`.
        split: `training` or `testing`.

    Raises:
        FileNotFoundError: the label file or an image is missing.
        BadLabelFile: a line is not in this format; the message has its number.
        BadImage: an image cannot be read.
    """
    path = root / f"{split}.txt"
    out = []
    for number, line in read_lines(path):
        name, *cells = line.split()
        try:
            values = finite_numbers(cells)
        except ValueError as error:
            raise BadLabelFile(path, f"A path and ten numbers are expected, but {error}.", number) from error
        if len(values) not in (10, 14):
            cause = f"A path and ten numbers are expected, not {len(values)} numbers."
            raise BadLabelFile(path, cause, number)
        points = np.array(values[:10], np.float32).reshape(2, 5).T.copy()
        name = name.replace("\\", "/")
        out.append(Portrait(name, ImagePyramid(read_image(root / name)), points))
    return out


def read_landmark_crops(path: Path) -> list[Portrait]:
    """Return the crops with 68 points of a TFRecord file as portraits with five points.

    Raises:
        BadPreparedData: the file is damaged, or its faces have other points.
        FileNotFoundError: the file does not exist.
    """
    faces = landmark_crops.load(path)
    if faces.points.shape[1] != COUNTS["ibug68"]:
        raise BadPreparedData(
            f"{path} holds faces with {faces.points.shape[1]} points. Give a folder of faces with 68 points."
        )
    five = five_of_ibug68(faces.points).astype(np.float32)
    return [
        Portrait(name, ImagePyramid(faces.images[i]), five[i], faces.photos[i])
        for i, name in enumerate(faces.names)
    ]


def read_portraits(data: Path, faces: Path | None) -> list[Portrait]:
    """Return the portraits of O-Net's training.

    Args:
        data: the folder that holds `mtfl5/`; it may be missing if there are other faces.
        faces: a prepared folder of crops with 68 points, whose portraits follow those of MTFL.
    """
    mtfl = data / "mtfl5"
    portraits = [] if faces and not mtfl.exists() else read_mtfl(mtfl, "training")
    return portraits + (read_landmark_crops(faces / "train.tfrecord") if faces else [])
