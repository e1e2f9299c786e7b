"""Gives an enrolment the faces that `facet bulk` has computed."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from app.bulk.plan import Part
from app.bulk.results import FILE, BulkResults, error_of, faces_of, files_of
from app.gallery.records import NewFace
from app.service.compared_faces import new_face, one_face
from app.service.enrol_list import NOT_OF_A_PERSON, PersonImage, in_folder_of_person
from app.service.gallery_requests import FacesQuery
from app.service.responses import Size
from app.service.run_summary import Tally

_OPEN_PARTS = 3
"""Parts in memory. Threads read ahead, so that some images are of the next part already."""


@dataclass(frozen=True)
class _Place:
    """Where the row of an image is."""

    part: Part
    row: int


class FacesOfResults:
    """Faces of the results of a run of `facet bulk --task embed`; see `enrolment.FaceSource`.

    Args:
        results: the results.
        query: which face of each image is enrolled.
    """

    def __init__(self, results: BulkResults, query: FacesQuery) -> None:
        self._results = results
        self._query = query
        self._places: dict[str, _Place] = {}
        self._tables: dict[Part, pa.Table] = {}
        self._lock = threading.Lock()

    def images(self) -> tuple[list[PersonImage], Tally]:
        """Return the images, each of the person whose name its folder has, and the files that are left out.

        Raises:
            BulkError: the results cannot be read.
        """
        images, left_out = [], Tally()
        for part in self._results.parts:
            table = self._results.read(part, [*FILE, "relative"])
            relatives = table["relative"].to_pylist()
            for row, (file, relative) in enumerate(zip(files_of(table), relatives, strict=True)):
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
        table = self._table(place.part).slice(place.row, 1)
        (row,) = table.select(["sha256", "image", "problem"]).to_pylist()
        if row["problem"] is not None:
            error = error_of(row["problem"])
            raise error
        if present := known.get(row["sha256"]):
            return present
        face = one_face(faces_of(table), Size(**row["image"]), only=self._query.faces == "one")
        return new_face(face, row["sha256"], self._query.expires)

    def _table(self, part: Part) -> pa.Table:
        with self._lock:
            if part not in self._tables:
                while len(self._tables) >= _OPEN_PARTS:
                    self._tables.pop(next(iter(self._tables)))
                self._tables[part] = self._results.read(part)
            return self._tables[part]
