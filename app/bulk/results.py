"""Reads the embeddings that `facet bulk` has computed, to use them without computing them again."""

import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from app.bulk.description import read_description
from app.bulk.errors import BadInput, BulkError
from app.bulk.plan import Part, finished_parts, read_plans
from app.bulk.stores import open_store
from app.errors import FacetError, UnknownModel
from app.pipeline.faces import Faces
from app.service import problems
from app.service.file_reading import reason
from app.service.responses import Box
from app.vision.points import FIVE


class BulkResults:
    """The results of a run of `facet bulk --task embed`.

    Args:
        location: its output: an absolute path or a URI.

    Attributes:
        model: name of the embedder.
        parts: the complete parts, in the order of the images.
        missing: number of images that the run has not processed yet.

    Raises:
        BadInput: there is no such result, or its embeddings cannot be used.
        BulkError: it cannot be read.
    """

    def __init__(self, location: str) -> None:
        self._store = open_store(location)
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
                "a net. They can neither be enrolled nor have clusters: choose another model."
            )
        self.model, self._contract = description.model, description.contract
        try:
            parts, _ = read_plans(self._store)
            self.parts = sorted(finished_parts(self._store, parts), key=lambda part: part.name)
        except OSError as error:
            raise BulkError(f"{location} cannot be read: {reason(error)}.") from error
        self.missing = sum(part.images for part in parts) - sum(part.images for part in self.parts)

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

    def read(self, part: Part, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of a part.

        Args:
            part: the part.
            columns: names of columns, with dots between the levels of a nested one; None for all.

        Raises:
            BulkError: it cannot be read.
        """
        try:
            with self._store.open(part.name) as source, parquet.ParquetFile(source) as file:
                return file.read(columns)
        except (OSError, pa.ArrowException) as error:
            raise BulkError(f"{part.name} cannot be read: {error}.") from error


FILE = ("file", "file_bytes")
"""The columns that `files_of` needs."""


def files_of(table: pa.Table) -> list[str]:
    """Return the file of each row, as the operating system knows it."""
    return [
        name if invalid is None else os.fsdecode(unquote_to_bytes(invalid))
        for name, invalid in zip(*(table[column].to_pylist() for column in FILE), strict=True)
    ]


def faces_of(table: pa.Table) -> Faces:
    """Return the faces of all rows with their embeddings, and with qualities if the run has computed them."""
    rows = table["faces"].combine_chunks().flatten()
    names = {field.name for field in rows.type}
    return Faces(
        np.stack([_numbers(rows.field("box").field(side)) for side in Box.model_fields], axis=1),
        _numbers(rows.field("score")),
        np.stack([_numbers(rows.field("keypoints").field(point)) for point in FIVE], axis=1),
        embeddings=_numbers(rows.field("embedding")),
        rotations=_numbers(rows.field("rotation")).astype(np.int64),
        qualities=_numbers(rows.field("quality")) if "quality" in names else None,
    )


def error_of(problem: Mapping[str, Any]) -> FacetError:
    """Return the error that a stored problem was made of."""
    for kind, entry in problems.BY_ERROR.items():
        if entry.uri == problem["type"] and kind is not UnknownModel:
            return kind(problem["detail"], problem["field"])
    return FacetError(problem["detail"], problem["field"])


def _numbers(values: pa.Array) -> np.ndarray:
    """Return a column as an array of its own: (n,), or (n, d) for a column of lists of d numbers."""
    if pa.types.is_fixed_size_list(values.type):
        return np.array(values.flatten()).reshape(-1, values.type.list_size)
    return np.array(values)
