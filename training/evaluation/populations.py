"""The people that embedders are calibrated on, and the vectors of their faces, which are computed once."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

import app.pipeline
import app.vision
from app.pipeline.analyzer import Analyzer
from app.pipeline.calibration import Pairs, weights_of
from training.data.datasets.identities import IdentityImage, read_folders
from training.data.datasets.lfw import read_pairs
from training.evaluation import face_vectors

WRONG_LABELS = Path(__file__).with_name("wrong_labels.txt")
"""Images whose label is wrong: a path below the folder of the data a line; a folder ends with a slash."""


@dataclass(frozen=True)
class Population:
    """The images of some people.

    Attributes:
        name: name of the dataset.
        images: the images.
    """

    name: str
    images: list[IdentityImage]


class FaceVectors(NamedTuple):
    """The vectors of the faces in some images.

    Attributes:
        vectors: an output of `Embedder.represent` for each image (n, d); NaN for an undetected face.
        people: the person in each image.
    """

    vectors: Float32[ndarray, "n d"]
    people: ndarray


def read_populations(data: Path) -> list[Population]:
    """Return the populations of a data folder: the images of LFW's View 1, CelebA and VGGFace2.

    Images whose label is known to be wrong are left out.

    Args:
        data: the folder that holds `lfw` and `identities`.

    Raises:
        ValueError: a folder holds no people.
        FileNotFoundError: a folder or LFW's pairs file is missing.
    """
    lines = [line.partition("#")[0].strip() for line in WRONG_LABELS.read_text().splitlines()]
    wrong = tuple(filter(None, lines))
    sets = {"LFW View 1": people_of_pairs(data / "lfw")} | {
        name: list(read_folders(data / "identities" / name.lower())) for name in ("CelebA", "VGGFace2")
    }
    return [
        Population(name, [i for i in images if not i.path.relative_to(data).as_posix().startswith(wrong)])
        for name, images in sets.items()
    ]


def people_of_pairs(root: Path, name: str = "pairsDevTest.txt") -> list[IdentityImage]:
    """Return the images of a pairs file, each once; see `read_pairs`."""
    files = sorted({path for pair in read_pairs(root, name) for path in (pair.a, pair.b)})
    return [IdentityImage(path, path.parent.name, path.relative_to(root).as_posix()) for path in files]


def pairs_of(analyzer: Analyzer, embedder: str, population: Population, cache: Path) -> Pairs:
    """Return all pairs of the faces of a population; see `vectors_of`."""
    faces = vectors_of(analyzer, embedder, population, cache)
    return Pairs(analyzer.embedder(embedder), faces.vectors, faces.people)


def vectors_of(analyzer: Analyzer, embedder: str, population: Population, cache: Path) -> FaceVectors:
    """Return the vectors of the faces of a population.

    Points and vectors are kept in `cache`. They are computed again if an image, a model file or the code of
    the pipeline changes.

    Args:
        analyzer: the models.
        embedder: name of the embedder.
        population: the people.
        cache: the folder of kept vectors.
    """
    paths = [image.path for image in population.images]
    people = np.array([image.person for image in population.images])
    states = [(str(path), (status := path.stat()).st_size, status.st_mtime_ns) for path in paths]
    detector = {e.file: e.sha256 for m in analyzer.models if m.entry.task != "embed" for e in m.entry.files}
    given = (_code(), states, sorted(detector.items()))

    def locate() -> ndarray:
        return face_vectors.locate(analyzer, paths, people.tolist()).points

    points = _kept(cache, f"{population.name} points", given, locate)
    faces = face_vectors.LocatedFaces(paths, people, points)

    def represent() -> ndarray:
        return face_vectors.represent(analyzer, analyzer.embedder(embedder), faces)

    weights = sorted(weights_of(analyzer, embedder).items())
    return FaceVectors(_kept(cache, f"{population.name} {embedder}", (given, weights), represent), people)


def _kept(cache: Path, name: str, given: object, compute: Callable[[], ndarray]) -> ndarray:
    """Return an array that was computed of given values before, or compute and keep it."""
    digest = hashlib.sha256(repr(given).encode()).hexdigest()
    path = cache / f"{name.lower().replace(' ', '-')}-{digest[:16]}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, compute())
        part.replace(path)
    return np.load(path)


def _code() -> str:
    """Return a digest of the code that makes vectors of images."""
    packages = [Path(folder) for package in (app.pipeline, app.vision) for folder in package.__path__]
    files = [file for folder in packages for file in sorted(folder.rglob("*.py"))]
    own = Path(face_vectors.__file__)
    return hashlib.sha256(b"".join(file.read_bytes() for file in [*files, own])).hexdigest()
