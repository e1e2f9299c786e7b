"""The largest face of each image, the vectors that an embedder computes of it, and their similarities."""

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.pipeline.embedder import CosineEmbedder, Embedder, SiameseEmbedder
from app.pipeline.largest_face import detect_largest
from app.runtime.device import Device
from app.runtime.session import OrtSession
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from training.data.datasets.images import read_image
from training.exporting.attribution import attribution_of
from training.exporting.trained import embedder_recipes
from training.importers.packages import CACHE

_PAIRS_PER_CALL = 4096


@dataclass(frozen=True)
class LocatedFaces:
    """Images of people and the five points of the largest face in each.

    Attributes:
        paths: the image files.
        people: name of the person in each image.
        points: five points of the detector, in pixels of the image; NaN if no face is detected.
    """

    paths: list[Path]
    people: ndarray
    points: Float32[ndarray, "n 5 2"]

    @property
    def undetected(self) -> list[str]:
        """The names of the files in which no face is detected."""
        return [p.name for p, five in zip(self.paths, self.points, strict=True) if np.isnan(five).any()]

    def without(self, people: Collection[str]) -> "LocatedFaces":
        """Return the images of everybody else."""
        kept = [i for i, person in enumerate(self.people) if person not in people]
        return LocatedFaces([self.paths[i] for i in kept], self.people[kept], self.points[kept])


def locate(analyzer: Analyzer, paths: list[Path], people: list[str] | None = None) -> LocatedFaces:
    """Return the five points of the largest face of each image, located as `/verify` locates it.

    Args:
        analyzer: the models; its default detector is used.
        paths: the image files.
        people: name of the person in each image; by default the name of the file's folder.
    """
    detector = analyzer.detector(None)
    points = np.full((len(paths), 5, 2), np.nan, np.float32)
    for i, path in enumerate(tqdm(paths, desc="faces", unit="image", disable=None)):
        picture = ImagePyramid(read_image(path))
        face = detect_largest(detector, picture, DetectOptions(), Timing())
        if len(face):
            points[i] = face.points[0]
    return LocatedFaces(paths, np.array(people or [path.parent.name for path in paths]), points)


def represent(analyzer: Analyzer, embedder: Embedder, located: LocatedFaces) -> Float32[ndarray, "n d"]:
    """Return the vector of each face that `Embedder.compare` takes; NaN if no face is detected.

    Args:
        analyzer: the models that align the faces.
        embedder: the embedder, which need not be one of these models.
        located: the images and their faces.
    """
    vectors = np.full((len(located.paths), embedder.spec.dimension), np.nan, np.float32)
    detected = np.flatnonzero(~np.isnan(located.points).any(axis=(1, 2)))
    for i in tqdm(detected, desc=embedder.spec.model, unit="image", disable=None):
        picture = ImagePyramid(read_image(located.paths[i]))
        points = analyzer.align(picture, located.points[i][None], embedder, Timing())
        vectors[i] = embedder.represent(picture, points)[0]
    return vectors


def similarities(
    embedder: Embedder, a: Float32[ndarray, "n d"], b: Float32[ndarray, "n d"]
) -> Float32[ndarray, " n"]:
    """Return the similarities of n pairs of vectors; NaN if a vector of the pair is NaN."""
    values = np.full(len(a), np.nan, np.float32)
    known = np.flatnonzero(~np.isnan(a[:, 0]) & ~np.isnan(b[:, 0]))
    for part in np.array_split(known, max(1, len(known) // _PAIRS_PER_CALL)):
        if len(part):
            values[part] = embedder.compare(a[part], b[part])
    return values


def embedder_of(run: Path) -> Embedder:
    """Return the embedder of a training run, exported as for the service.

    Raises:
        RunError: the run does not train an embedder.
        FileNotFoundError: the folder holds no finished run.
    """
    with tempfile.TemporaryDirectory() as folder:
        sessions = []
        for recipe in embedder_recipes(run, attribution_of([run], run.name)):
            file = Path(folder) / recipe.file
            recipe.write(recipe.net(CACHE), file, file.with_suffix(".npz"))
            sessions.append(OrtSession(file, Device("cpu")))
    return SiameseEmbedder(*sessions) if len(sessions) == 2 else CosineEmbedder(sessions[0])
