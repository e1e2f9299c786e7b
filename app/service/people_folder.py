"""Reads an operator's images of known people, a folder for each, and computes the vectors of their faces."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import FacetError, NoFace
from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.pipeline.embedder import Embedder
from app.pipeline.largest_face import detect_largest
from app.runtime.timing import Timing
from app.service.console import Progress
from app.service.file_reading import read
from app.service.file_search import FileSearch, FoundFile
from app.service.limits import Limits
from app.service.local_files import problem_of
from app.service.run_summary import RunSummary, printable
from app.vision import image as images
from app.vision.pyramid import ImagePyramid

MAX_IMAGES = 10_000
"""Maximum number of images. The similarities of all their pairs are in memory: 1.3 GB for as many."""

_NOT_OF_A_PERSON = "not in the folder of a person"
_COPY = "a copy of another image of the person"


class Refused(Exception):
    """Nothing can be calibrated on the images. The arguments are the lines that say why."""


@dataclass(frozen=True)
class PersonImage:
    """An image of a person.

    Attributes:
        path: the file.
        person: name of the person's folder.
    """

    path: str
    person: str


@dataclass(frozen=True)
class FaceVectors:
    """The vectors of the faces in some images.

    Attributes:
        images: the images with a face.
        vectors: for each embedder, by name, an output of `Embedder.represent` for each image.
    """

    images: list[PersonImage]
    vectors: dict[str, Float32[ndarray, "n d"]]


class PeopleFolder:
    """The images of a folder that has a folder for each person.

    A copy of an image in the same person's folders is left out. A file directly in the folder is left out.

    Args:
        folder: the folder.
        limits: limits on an image.

    Attributes:
        images: the images, by path.
        summary: counts the images that were read, that failed and that were left out.
        failures: a line for each file or folder that failed.

    Raises:
        Refused: there are too many images, or a file is in the folders of two people.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        search = FileSearch()
        search.add(folder)
        if len(search.found) > MAX_IMAGES:
            raise Refused(
                f"{printable(str(folder))} has {len(search.found)} images, but at most {MAX_IMAGES} can be "
                "compared with each other. Use fewer images of each person."
            )
        self.images: list[PersonImage] = []
        self.summary = RunSummary(search.left_out)
        self.failures: list[str] = []
        self._limits = limits
        known: dict[str, PersonImage] = {}
        shared = []
        for file in search.found:
            person, inside, _ = file.relative.partition(os.sep)
            if file.error is None and not inside:
                search.left_out.add(_NOT_OF_A_PERSON, file.path)
                continue
            try:
                digest = self._digest(file)
            except FacetError as error:
                self._fail(file.path, error)
                continue
            image = PersonImage(file.path, person)
            first = known.setdefault(digest, image)
            if first is image:
                self.images.append(image)
            elif first.person == person:
                search.left_out.add(_COPY, file.path)
            else:
                shared.append(f"{printable(first.path)} and {printable(file.path)} are the same file.")
        if shared:
            raise Refused(*shared, "One of two people is wrong for it. Remove it from the wrong folder.")

    def read(self, analyzer: Analyzer, embedders: Sequence[Embedder]) -> FaceVectors:
        """Return the vectors of the largest face of each image, which a verification would compare.

        Args:
            analyzer: the models.
            embedders: the embedders.
        """
        with_face: list[PersonImage] = []
        rows: list[list[ndarray]] = []
        with Progress(len(self.images), "image") as progress:
            for image in self.images:
                try:
                    rows.append(self._vectors(image, analyzer, embedders))
                    with_face.append(image)
                    self.summary.read += 1
                except Exception as error:  # decoders and runtimes raise many kinds; each is reported
                    self._fail(image.path, error)
                progress.advance()
        columns = zip(*rows, strict=True) if rows else ((),) * len(embedders)
        return FaceVectors(
            with_face,
            {
                e.spec.model: np.array(column, np.float32).reshape(-1, e.spec.dimension)
                for e, column in zip(embedders, columns, strict=True)
            },
        )

    def _digest(self, file: FoundFile) -> str:
        if file.error is not None:
            raise file.error
        return hashlib.sha256(read(file.path, self._limits.image_bytes, "file")).hexdigest()

    def _vectors(
        self, image: PersonImage, analyzer: Analyzer, embedders: Sequence[Embedder]
    ) -> list[Float32[ndarray, " d"]]:
        data = read(image.path, self._limits.image_bytes, "file")
        picture = ImagePyramid(images.decode(data, self._limits.image_pixels, "image"))
        timing = Timing()
        face = detect_largest(analyzer.detector(None), picture, DetectOptions(), timing)
        if len(face) == 0:
            raise NoFace("No face was found in the image.", "image")
        found = [analyzer.represent(picture, face, embedder, timing).embeddings for embedder in embedders]
        return [vectors[0] for vectors in found if vectors is not None]

    def _fail(self, path: str, error: Exception) -> None:
        problem = problem_of(error, self._limits)
        self.summary.failed.add(problem.type.rpartition("/")[2], path)
        self.failures.append(f"{printable(path)}: {problem.detail}")
