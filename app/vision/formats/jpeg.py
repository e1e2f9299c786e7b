"""JPEG files: their header, and their pixels by libjpeg-turbo."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image as Pil

from app.vision.formats.missing import check_rows

_SOS, _EOI, _APP1, _APP14, _COMMENT = 0xDA, 0xD9, 0xE1, 0xEE, 0xFE
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_UNSUPPORTED = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "a lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "a hierarchical JPEG"),
    0xF7: "a JPEG-LS image",
}
_NO_DATA = 128
"""The value that libjpeg gives all channels of a block without data."""


@dataclass(frozen=True)
class JpegHeader:
    """The header of a JPEG file.

    Attributes:
        width: width in pixels.
        height: height in pixels.
        components: number of colour channels.
        unsupported: the variant of JPEG if it is not supported, else None.
        exif: EXIF data; empty if there is none.
        segments: start and end of each segment that describes the pixels, up to the first scan.
    """

    width: int
    height: int
    components: int
    unsupported: str | None
    exif: bytes
    segments: tuple[tuple[int, int], ...]


def read_header(data: bytes) -> JpegHeader:
    """Return the header of a JPEG file.

    Raises:
        ValueError: the file ends before its pixels, or has no frame header.
        struct.error: the frame header is too short.
    """
    segments, exif, frame = [], b"", None
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker == _APP1 and body.startswith(b"Exif\0") and not exif:
            exif = body
        if marker in _FRAMES and frame is None:
            frame = (marker, *struct.unpack_from(">BHHB", body))
        is_metadata = (0xE0 <= marker <= 0xEF and marker != _APP14) or marker == _COMMENT
        if not is_metadata:
            segments.append((start, end))
        if marker == _SOS:
            break
    else:
        raise ValueError("the file ends before its pixels")
    if frame is None:
        raise ValueError("the frame header is missing")
    marker, precision, height, width, components = frame
    unsupported = _UNSUPPORTED.get(marker)
    if unsupported is None and precision != 8:
        unsupported = f"a JPEG image with {precision} bits per sample"
    return JpegHeader(width, height, components, unsupported, exif, tuple(segments))


def decode(data: bytes, header: JpegHeader) -> UInt8[ndarray, "h w 3"]:
    """Return the RGB pixels of a JPEG file. They are compared with the header, and counted.

    The end marker does not matter: if the decoder warns, the file is decoded again without metadata and
    with an end marker, and rows without data are counted.

    Raises:
        ValueError: the data is damaged, or rows are missing.
    """
    space = "CMYK" if header.components == 4 else "RGB"
    try:
        return _to_rgb(simplejpeg.decode_jpeg(data, space, strict=True))
    except ValueError:
        pass  # a warning, or an error that is raised again below
    plain = b"".join(
        [b"\xff\xd8", *(data[start:end] for start, end in header.segments), data[header.segments[-1][1] :]]
    )
    plain += b"\xff\xd9"
    pixels: ndarray = simplejpeg.decode_jpeg(plain, space, strict=False)
    try:
        simplejpeg.decode_jpeg(plain, space, strict=True)
    except ValueError as warning:
        if "premature end" in str(warning):
            check_rows(len(pixels) - _rows_without_data(pixels), len(pixels))
    return _to_rgb(pixels)


def _to_rgb(pixels: ndarray) -> UInt8[ndarray, "h w 3"]:
    if pixels.shape[2] == 3:
        return pixels
    ink = np.ascontiguousarray(255 - pixels)  # by Adobe's convention, CMYK samples are inverted
    size = (ink.shape[1], ink.shape[0])
    return np.array(Pil.frombuffer("CMYK", size, ink, "raw", "CMYK", 0, 1).convert("RGB"))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, the start and the end of each complete segment.

    Bytes between segments are skipped, as libjpeg does.
    """
    position = 2
    while (position := data.find(b"\xff", position)) >= 0 and position + 4 <= len(data):
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker == 0 or marker in _STANDALONE:
            position += 2
        elif marker == _EOI:
            return
        else:
            end = position + 2 + max(2, int.from_bytes(data[position + 2 : position + 4]))
            if end > len(data):
                return
            yield marker, position, end
            position = end


def _rows_without_data(pixels: ndarray) -> int:
    empty = (pixels == _NO_DATA).all(axis=(1, 2))
    return len(empty) if empty.all() else int(np.argmin(empty[::-1]))
