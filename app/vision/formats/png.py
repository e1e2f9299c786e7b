"""PNG files: the chunks that describe the pixels, and the number of rows that the data has."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = 13
_HEAD = frozenset({b"IHDR", b"PLTE", b"tRNS"})
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of interlaced images: first column, first row, column step, row step."""

_STEP = 1 << 16


@dataclass(frozen=True)
class PngFile:
    """The parts of a PNG file that describe its pixels.

    Attributes:
        width: width in pixels.
        height: height in pixels.
        depth: bits per sample.
        colour: colour type of the header.
        interlaced: whether the rows are interlaced (Adam7).
        head: signature, header, palette and transparency.
        data: the zlib stream of the pixels, possibly incomplete.
        exif: EXIF data; empty if there is none.
    """

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool
    head: bytes
    data: bytes
    exif: bytes

    def file(self, data: bytes | None = None) -> bytes:
        """Return a PNG file without metadata, with the given zlib stream in place of its own, if any."""
        return self.head + _chunk(b"IDAT", self.data if data is None else data) + _chunk(b"IEND", b"")

    def row_bytes(self) -> list[int]:
        """Return the number of bytes of each row in the order of the file, filter bytes included."""
        bits = _CHANNELS.get(self.colour, 0) * self.depth
        rows = []
        for x, y, dx, dy in _ADAM7 if self.interlaced else ((0, 0, 1, 1),):
            width, height = -(-(self.width - x) // dx), -(-(self.height - y) // dy)
            rows += [1 + (width * bits + 7) // 8] * max(0, height) if width > 0 else []
        return rows


def read(data: bytes) -> PngFile:
    """Return the parts of a PNG file that describe its pixels.

    Raises:
        ValueError: the file ends before its pixels, or has two headers.
    """
    head: dict[bytes, bytes] = {}  # the first chunk of each kind
    pixels, exif, header = [], b"", None
    for kind, body in _chunks(data):
        if kind == b"IHDR" and len(body) == _HEADER_BYTES:
            if header is not None:
                raise ValueError("the file has two headers")
            header = struct.unpack(">IIBBBBB", body)
        if kind in _HEAD and kind not in head:
            head[kind] = _chunk(kind, body)
        elif kind == b"IDAT":
            pixels.append(body)
        elif kind == b"eXIf":
            exif = exif or body
    if header is None or not pixels:
        raise ValueError("the file ends before its pixels")
    width, height, depth, colour, _, _, interlaced = header
    start = _SIGNATURE + b"".join(head.values())
    return PngFile(width, height, depth, colour, interlaced == 1, start, b"".join(pixels), exif)


def rows_present(png: PngFile) -> tuple[int, int]:
    """Return the number of rows that the data has, and the number of rows that it should have.

    The rows of an interlaced image are those of its passes.
    """
    rows = png.row_bytes()
    available = sum(len(part) for part in _decompressed(png))
    present = 0
    for size in rows:
        available -= size
        if available < 0:
            break
        present += 1
    return present, len(rows)


def completed(png: PngFile) -> bytes:
    """Return a PNG file without metadata in which missing rows are black."""
    raw = b"".join(_decompressed(png))
    return png.file(zlib.compress(raw.ljust(sum(png.row_bytes()), b"\0"), level=0))


def _decompressed(png: PngFile) -> Iterator[bytes]:
    """Yield the rows of an image in pieces, as far as the data is intact. The checksum is not compared."""
    stream, left, data = zlib.decompressobj(wbits=-zlib.MAX_WBITS), sum(png.row_bytes()), png.data[2:]
    while left > 0 and not stream.eof:
        try:
            part = stream.decompress(data, min(left, _STEP))
        except zlib.error:
            return
        if not part and not stream.unconsumed_tail:
            return
        yield part
        left -= len(part)
        data = stream.unconsumed_tail


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of each chunk before the end chunk. The last one may be incomplete."""
    position = len(_SIGNATURE)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IEND":
            return
        yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length
