"""The contents of people and faces as blobs, in a layout from which SQLite erases deleted bytes.

With `secure_delete`, SQLite overwrites deleted cells and freed pages with zeros. But when it rebalances a
b-tree it may leave old copies of live cells in the unused part of a page, and these stay when the cells are
deleted later. Overflow pages are never copied. So everything personal is kept in overflow pages
alone: a row of a table of contents is (key, filler, content), and `padded` gives the content a length with
which exactly the first `LOCAL` bytes of the row, its header and the filler, are in the cell. The rules are in
section 1.6 of https://sqlite.org/fileformat2.html.
"""

import math
import struct
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import GalleryUnavailable
from app.gallery.records import NewFace, PersonDetails
from app.gallery.rules import DAMAGED, details_json, details_of, from_micros, search_key

PAGE = 1024
"""Size of a page in bytes. A vector of 256 numbers takes two overflow pages, most people take one."""
LOCAL = (PAGE - 12) * 32 // 255 - 23
"""Bytes of a row that stay in the cell at least, if the row has overflow pages."""
FILLER = bytes(LOCAL)
"""The second column of each row of contents."""

_OVERFLOW = PAGE - 4
"""Bytes of a row in an overflow page."""
_FACE = struct.Struct("<4d2d2H")
"""Box, score, quality (not a number if unknown), length of the vector, length of the source in bytes."""


def padded(content: bytes) -> bytes:
    """Return the content with zeros added, so that all of it is stored in overflow pages."""
    pages = -(-(len(content) + 8) // _OVERFLOW)
    # The header: the sizes of itself (1 byte), of the key (1), of the filler (2) and of the content (width).
    width = 2 if pages <= 8 else 3 if pages <= 1028 else 4
    return content.ljust(pages * _OVERFLOW - 4 - width, b"\0")


def pack_person(details: PersonDetails) -> bytes:
    """Return the content of a person: the name for searches, a zero, and the details as JSON in ASCII."""
    return padded(search_key(details.name or "") + b"\0" + details_json(details).encode())


def unpack_person(content: bytes, expires: int | None) -> PersonDetails:
    """Return the details of a person from the content and the time of expiry.

    Raises:
        GalleryUnavailable: the content is damaged.
    """
    return details_of(content.partition(b"\0")[2].rstrip(b"\0"), expires)


def external_hash(salt: bytes, external_id: str) -> int:
    """Return the hash by which an external id is found. It has 16 bits, so that it does not tell the id.

    A copy of the hash may outlive the person in the unused part of a page.
    """
    text = external_id.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=2, key=salt).digest(), "little")


def pack_face(face: NewFace) -> bytes:
    """Return the content of a face: the numbers, the vector in little-endian float32, and the source."""
    quality = math.nan if face.quality is None else face.quality
    head = _FACE.pack(*face.box, face.score, quality, len(face.vector), len(face.source))
    return padded(head + face.vector.astype("<f4").tobytes() + face.source)


def unpack_face(content: bytes, expires: int | None) -> NewFace:
    """Return a face from the content and the time of expiry.

    Raises:
        GalleryUnavailable: the content is damaged.
    """
    try:
        left, top, right, bottom, score, quality, dimension, length = _FACE.unpack_from(content)
        vector = np.frombuffer(content, "<f4", dimension, _FACE.size)
    except (ValueError, struct.error) as error:
        raise GalleryUnavailable(DAMAGED) from error
    end = _FACE.size + vector.nbytes
    return NewFace(
        vector=vector,
        box=(left, top, right, bottom),
        score=score,
        quality=None if math.isnan(quality) else quality,
        source=content[end : end + length],
        expires=None if expires is None else from_micros(expires),
    )


def unpack_vectors(contents: Sequence[bytes], dimension: int) -> Float32[ndarray, "n d"]:
    """Return the vectors in the contents of faces, which have vectors of this length.

    Raises:
        GalleryUnavailable: a content is damaged.
    """
    end = _FACE.size + 4 * dimension
    joined = b"".join([content[_FACE.size : end] for content in contents])
    try:
        return np.frombuffer(joined, "<f4").reshape(len(contents), dimension)
    except ValueError as error:
        raise GalleryUnavailable(DAMAGED) from error
