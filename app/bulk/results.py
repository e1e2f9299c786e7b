"""Reads the embeddings that `facet bulk` has computed, to enrol people without computing them again."""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from app.bulk.description import read_description
from app.bulk.errors import BadInput, BulkError
from app.bulk.plan import Part, finished_parts, read_plans
from app.bulk.stores import Store, open_store
from app.errors import FacetError, UnknownModel
from app.gallery.records import NewFace
from app.pipeline.faces import Faces
from app.service import problems
from app.service.enrol_list import NOT_OF_A_PERSON, PersonImage, in_folder_of_person
from app.service.gallery_operations import one_face
from app.service.gallery_requests import FacesQuery
from app.service.responses import Size
from app.service.run_summary import Tally
from app.vision.points import FIVE

_OPEN_PARTS = 3
"""Parts in memory. Threads read ahead, so that some images are of the next part already."""


@dataclass(frozen=True)
class _Place:
    """Where the row of an image is."""

    part: Part
    row: int


class BulkResults:
    """The results of a run of `facet bulk --task embed`.

    Args:
        location: its output: an absolute path or a URI.
        query: which face of each image is enrolled.

    Attributes:
        model: name of the embedder.
        missing: number of images that the run has not processed yet.

    Raises:
        BadInput: there is no such result, or its embeddings cannot be enrolled.
        BulkError: it cannot be read.
    """

    def __init__(self, location: str, query: FacesQuery) -> None:
        self._store: Store = open_store(location)
        self._query = query
        self._places: dict[str, _Place] = {}
        self._tables: dict[Part, pa.Table] = {}
        self._lock = threading.Lock()
        found = read_description(self._store, location)
        if found is None:
            raise BadInput(f"{location} has no results of facet bulk. Name the OUTPUT of a run.")
        description, _ = found
        if description.task != "embed":
            raise BadInput(
                f"{location} has the results of `facet bulk --task {description.task}`, which have no "
                "embeddings. Run it with --task embed and another OUTPUT."
            )
        if description.contract is None:
            raise BadInput(
                f"The embeddings in {location} are of the model {description.model}, which compares faces by "
                "a net. A gallery cannot use them: choose another model."
            )
        self.model, self._contract = description.model, description.contract
        parts, _ = read_plans(self._store)
        self._parts = sorted(finished_parts(self._store, parts), key=lambda part: part.name)
        self.missing = sum(part.images for part in parts) - sum(part.images for part in self._parts)

    def check_contract(self, loaded: str) -> None:
        """Check that the embeddings can be compared with those of the loaded models.

        Args:
            loaded: id of the contract of the loaded embedder.

        Raises:
            BulkError: they cannot.
        """
        if self._contract != loaded:
            raise BulkError(
                f"The embeddings of the run have the contract {self._contract}, but those of the loaded "
                f"models have {loaded}, so that they cannot be compared. Use the models of the run, or "
                "repeat the run with another OUTPUT."
            )

    def images(self) -> tuple[list[PersonImage], Tally]:
        """Return the images, each of the person whose name its folder has, and the files that are left out.

        Raises:
            BulkError: the results cannot be read.
        """
        images, left_out = [], Tally()
        for part in self._parts:
            table = self._read(part, ["file", "file_bytes", "relative"])
            for row, (name, invalid, relative) in enumerate(
                zip(*(table[column].to_pylist() for column in table.column_names), strict=True)
            ):
                file = name if invalid is None else os.fsdecode(unquote_to_bytes(invalid))
                image = in_folder_of_person(file, relative)
                if image is None:
                    left_out.add(NOT_OF_A_PERSON, file)
                else:
                    images.append(image)
                    self._places[file] = _Place(part, row)
        return images, left_out

    def face(self, image: PersonImage, known: Mapping[bytes, str]) -> NewFace | str:
        """Return the face of an image; see `enrolment.FaceSource`.

        Raises:
            error: the image has a problem.
            NoFace: it has no face.
            SeveralFaces: it has several, and the query demands one.
        """
        place = self._places[image.path]
        row: dict[str, Any] = self._table(place.part).slice(place.row, 1).to_pylist()[0]
        if row["problem"] is not None:
            error = _error(row["problem"])
            raise error
        if present := known.get(row["sha256"]):
            return present
        face = one_face(_faces(row["faces"]), Size(**row["image"]), only=self._query.faces == "one")
        assert face.embeddings is not None
        x1, y1, x2, y2 = map(float, face.boxes[0])
        return NewFace(
            vector=face.embeddings[0],
            box=(x1, y1, x2, y2),
            score=float(face.scores[0]),
            quality=None if face.qualities is None else float(face.qualities[0]),
            source=row["sha256"],
            expires=self._query.expires,
        )

    def _table(self, part: Part) -> pa.Table:
        with self._lock:
            if part not in self._tables:
                while len(self._tables) >= _OPEN_PARTS:
                    self._tables.pop(next(iter(self._tables)))
                self._tables[part] = self._read(part, None)
            return self._tables[part]

    def _read(self, part: Part, columns: list[str] | None) -> pa.Table:
        try:
            with self._store.open(part.name) as file:
                return parquet.read_table(file, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise BulkError(f"{part.name} cannot be read: {error}.") from error


def _faces(rows: list[dict[str, Any]]) -> Faces:
    box = ("x1", "y1", "x2", "y2")
    return Faces(
        np.array([[row["box"][side] for side in box] for row in rows], np.float32).reshape(-1, 4),
        np.array([row["score"] for row in rows], np.float32),
        np.array([[row["keypoints"][point] for point in FIVE] for row in rows], np.float32).reshape(-1, 5, 2),
        embeddings=np.array([row["embedding"] for row in rows], np.float32) if rows else None,
        qualities=np.array([row["quality"] for row in rows], np.float32)
        if rows and "quality" in rows[0]
        else None,
    )


def _error(problem: Mapping[str, Any]) -> FacetError:
    """Return the error that a stored problem was made of."""
    for kind, entry in problems.BY_ERROR.items():
        if entry.uri == problem["type"] and kind is not UnknownModel:
            return kind(problem["detail"], problem["field"])
    return FacetError(problem["detail"], problem["field"])
