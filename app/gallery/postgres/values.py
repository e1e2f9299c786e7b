"""Vectors in the binary format of pgvector: the length and 0 as 16-bit numbers, then float32, big-endian."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from psycopg.adapt import Dumper
from psycopg.pq import Format

from app.errors import GalleryUnavailable
from app.gallery.rules import DAMAGED


class VectorParameter(bytes):
    """A vector as a parameter of a statement."""


class VectorDumper(Dumper):
    """Sends a `VectorParameter` as it is. The server takes the type from the statement."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        """Return the parameter."""
        return bytes(obj)


def pack_vector(vector: Float32[ndarray, " d"]) -> VectorParameter:
    """Return a vector as a parameter."""
    head = np.array([len(vector), 0], ">u2").tobytes()
    return VectorParameter(head + vector.astype(">f4").tobytes())


def unpack_vectors(vectors: Sequence[bytes], dimension: int) -> Float32[ndarray, "n d"]:
    """Return vectors of this length.

    Raises:
        GalleryUnavailable: one has another length.
    """
    row = np.dtype([("head", ">u2", 2), ("values", ">f4", dimension)])
    try:
        found = np.frombuffer(b"".join(vectors), row)
    except ValueError as error:
        raise GalleryUnavailable(DAMAGED) from error
    if len(found) != len(vectors):
        raise GalleryUnavailable(DAMAGED)
    return found["values"].astype(np.float32)
