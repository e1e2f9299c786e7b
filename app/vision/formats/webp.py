"""WebP files: their size, and the chunks that describe their pixels."""

import struct
from collections.abc import Iterator

_METADATA = frozenset({b"EXIF", b"XMP ", b"ICCP"})
_METADATA_FLAGS = 0x20 | 0x08 | 0x04  # ICC profile, EXIF, XMP


def size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of the canvas of a WebP file; None if the header is malformed."""
    chunk = data[12:16]
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L" and data[20:21] == b"\x2f":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X" and len(data) >= 30:
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    return None


def split_metadata(data: bytes) -> tuple[bytes, bytes]:
    """Return a WebP file without metadata, and its EXIF data; empty if there is none."""
    kept, exif = [], b""
    for kind, body in _chunks(data):
        if kind == b"EXIF":
            exif = exif or body
        if kind not in _METADATA:
            if kind == b"VP8X" and body:
                body = bytes([body[0] & ~_METADATA_FLAGS]) + body[1:]
            kept.append(kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2))
    chunks = b"".join(kept)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks, exif


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of each chunk. The last one may be incomplete."""
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
