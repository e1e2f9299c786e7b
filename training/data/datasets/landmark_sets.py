"""Readers of the datasets with landmarks, all to the type `Sample`.

For a new dataset, add a function and a line in `READERS`. Points are in pixels of the image, with pixel
centres at integers; a point without a label is NaN. All faces of a photo have its photo id, and are never in
different splits.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from app.vision.points import COUNTS, Scheme, fifteen_of_ibug68
from training.data.datasets import kaggle
from training.data.datasets.images import IMAGE_SUFFIXES, read_image
from training.data.datasets.label_text import BadLabelFile, finite_numbers, read_lines
from training.data.datasets.splits import hash_number, is_held_out

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Sample:
    """A labelled face.

    Attributes:
        name: unique name.
        photo: id of the photo.
        image: the image file, or its pixels.
        points: points in pixels of the image, in the order of the scheme.
        scheme: the scheme of the points.
        split: the split.
        portrait: whether the image is cut around this face.
    """

    name: str
    photo: str
    image: Path | UInt8[ndarray, "h w 3"]
    points: Float32[ndarray, "k 2"]
    scheme: Scheme
    split: Split
    portrait: bool = False

    def pixels(self) -> UInt8[ndarray, "h w 3"]:
        """Return the image, decoded as the service decodes it.

        Raises:
            BadImage: the file is no image.
        """
        if not isinstance(self.image, Path):
            return self.image
        return read_image(self.image)


@dataclass(frozen=True)
class PtsFolder:
    """A folder of 300-W.

    Attributes:
        folder: path under the folder of 300-W.
        split: the split of its faces.
        family: prefix of its photo ids. Folders of one family share photos, which have the same id in both.
        photo: pattern of a file's stem; the first group is the photo.
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
"""300-W's folders. `lfpw/testset` is for testing only: no training, and no choice, uses it."""


TEST_FOLDERS = frozenset({"test", "testset"})
"""Folders whose `.pts` files are for testing."""

FACE_NUMBER = re.compile(r"_(0|[1-9][0-9]?)$")
"""The end of the name of a `.pts` file that numbers the faces of a photo."""


def read_pts(path: Path) -> Float32[ndarray, "k 2"]:
    """Return the points of a `.pts` file: `version`, `n_points`, then a line `x y` per point in braces.

    Raises:
        FileNotFoundError: there is no such file.
        BadLabelFile: the file is not in this format; the message has the line.
    """
    lines = read_lines(path)
    text = "\n".join(line for _, line in lines)
    pattern = r"version:\s*[\d.]+\s+n_points:\s*(\d+)\s*\{(.*)\}"
    match = re.fullmatch(pattern, text, re.DOTALL | re.IGNORECASE)
    if match is None:
        cause = "The format of .pts files is expected: version, n_points, and the points in braces."
        raise BadLabelFile(path, cause)
    first = text[: match.start(2)].count("\n")
    values: list[float] = []
    for i, part in enumerate(match[2].split("\n"), start=first):
        try:
            row = finite_numbers(part.split())
        except ValueError as error:
            raise BadLabelFile(
                path, f"The coordinates of a point are expected, but {error}.", lines[i][0]
            ) from error
        if len(row) % 2:
            raise BadLabelFile(path, f"x and y of a point are expected, not {len(row)} numbers.", lines[i][0])
        values += row
    if len(values) != 2 * int(match[1]):
        raise BadLabelFile(path, f"The file announces {match[1]} points, but has {len(values)} numbers.")
    return np.array(values, np.float32).reshape(-1, 2)


def read_300w(data: Path) -> Iterator[Sample]:
    """Yield the faces of 300-W (Sagonas et al., 2013): every `.pts` file with its image, in order of name.

    Args:
        data: the folder that holds `300w/`.

    Yields:
        The samples; their images are not opened.

    Raises:
        BadLabelFile: a `.pts` file is malformed, or its name has no photo.
        FileNotFoundError: a `.pts` file has no image.
    """
    root = data / "300w"
    for kind in PTS_FOLDERS:
        for path in sorted((root / kind.folder).glob("*.[pP][tT][sS]")):
            if path.name.startswith("._"):  # macOS keeps attributes of files so
                continue
            match = re.match(kind.photo, path.stem)
            if match is None:
                cause = f"The name does not match {kind.photo}, so the photo is unknown."
                raise BadLabelFile(path, cause)
            yield _pts_sample(path, f"{kind.folder}/{path.stem}", f"{kind.family}/{match[1]}", kind.split)


def read_pts_files(data: Path) -> Iterator[Sample]:
    """Yield the faces of the `.pts` files in a folder and the folders in it, in order of name.

    Each file has an image beside it. A face below a folder named `test` or `testset` is for testing. Files
    that differ only in a number of one or two digits at the end of their names, such as `a_1.pts` and
    `a_2.pts`, are of one photo. A number with leading zeros counts photos, as in `image_0001.pts`.

    Args:
        data: the folder.

    Yields:
        The samples; their images are not opened.

    Raises:
        BadLabelFile: a `.pts` file is malformed.
        FileNotFoundError: a `.pts` file has no image.
    """
    for path in sorted(data.rglob("*.[pP][tT][sS]")):
        if path.name.startswith("._"):  # macOS keeps attributes of files so
            continue
        name = path.relative_to(data).with_suffix("").as_posix()
        test = not TEST_FOLDERS.isdisjoint(path.relative_to(data).parts[:-1])
        yield _pts_sample(path, name, FACE_NUMBER.sub("", name), "test" if test else "train")


def _pts_sample(path: Path, name: str, photo: str, split: Split) -> Sample:
    points, count = read_pts(path), COUNTS["ibug68"]
    if len(points) != count:
        raise BadLabelFile(path, f"A face has {count} points in the order of 300-W, not {len(points)}.")
    return Sample(name, photo, _image_beside(path), points, "ibug68", split)


def _image_beside(path: Path) -> Path:
    for suffix in IMAGE_SUFFIXES:
        for image in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
            if image.exists():
                return image
    raise FileNotFoundError(f"{path} has no image beside it.")


MAX_SHAPE_DISTANCE = 0.01
"""Root mean square distance in pixels of Kaggle's image, below which two sets of points are one face."""

MIN_POINTS = 4
"""Minimum number of points for this comparison. Fewer fit too many faces."""


def read_kaggle15(data: Path) -> Iterator[Sample]:
    """Yield the labelled rows of Kaggle's Facial Keypoints Detection.

    The file does not name photos. If 300-W is there, a row whose points equal those of one of its faces up
    to scale and shift gets the photo id of that face. Any other row gets an id of its own.

    Args:
        data: the folder that holds `kaggle15/`, and may hold `300w/`.

    Yields:
        The samples.

    Raises:
        FileNotFoundError: there is no training file.
        BadLabelFile: it is malformed; the message has the line.
    """
    table = kaggle.read_images(data / "kaggle15", "training")
    photos = _photos(table.points, list(read_300w(data)))
    for i, photo in enumerate(photos):
        name = f"kaggle15/{table.ids[i]}"
        yield Sample(name, photo or name, table.rgb(i), table.points[i], "kaggle15", "train", portrait=True)


def _photos(points: Float32[ndarray, "n 15 2"], faces: list[Sample]) -> list[str | None]:
    """Return the photo of the face whose points each row has; None if there is no such face."""
    if not faces:
        return [None] * len(points)
    shapes = fifteen_of_ibug68(np.stack([face.points for face in faces])).astype(np.float64)
    out: list[str | None] = []
    for row in points:
        known = np.isfinite(row).all(axis=1)
        shape, target = shapes[:, known], row[known].astype(np.float64)
        shape = shape - shape.mean(axis=1, keepdims=True)
        target = target - target.mean(axis=0)
        scale = (shape * target).sum(axis=(1, 2)) / np.square(shape).sum(axis=(1, 2))
        errors = np.square(scale[:, None, None] * shape - target).sum(axis=2)
        distance = np.sqrt(errors.mean(axis=1))
        best = int(distance.argmin())
        same = known.sum() >= MIN_POINTS and distance[best] < MAX_SHAPE_DISTANCE
        out.append(faces[best].photo if same else None)
    return out


READERS: dict[str, Callable[[Path], Iterator[Sample]]] = {
    "300w": read_300w,
    "kaggle15": read_kaggle15,
    "pts": read_pts_files,
}
"""The readers by the name that `training.prepare landmarks --source` takes."""


def with_validation(samples: Iterable[Sample], validation: float, seed: int) -> list[Sample]:
    """Return the samples with a part of the training photos moved to validation.

    Photos are selected by a hash of their id, with all their faces.

    Args:
        samples: samples of all splits.
        validation: below 1 the share of photos, of at least one; it is met approximately, and adding data
            moves no other photo. From 1 on the number of faces, which is met if there are photos with few
            enough faces.
        seed: changes the selection.

    Raises:
        ValueError: no face is left for training or for validation.
    """
    listed = list(samples)
    faces = Counter(sample.photo for sample in listed if sample.split == "train")
    if validation < 1:
        chosen = {photo for photo in faces if is_held_out(photo, validation, seed)}
        if not chosen and validation and faces:
            chosen = {min(faces, key=lambda photo: hash_number(photo, seed))}
    else:
        chosen, left = set(), int(validation)
        for photo in sorted(faces, key=lambda photo: hash_number(photo, seed)):
            if faces[photo] <= left:
                chosen.add(photo)
                left -= faces[photo]
    left_out = sum(faces[photo] for photo in chosen)
    if not 0 < left_out < faces.total():
        raise ValueError(
            f"--validation {validation:g} takes {left_out} of {faces.total()} training faces, which are of "
            f"{len(faces)} photos. Training needs faces for validation, and others to train on. Give another "
            "share or number, or add photos."
        )
    return [replace(s, split="validation") if s.split == "train" and s.photo in chosen else s for s in listed]
