"""JPEG files: their header, and their pixels by libjpeg-turbo."""

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image as Pil

from app.vision.formats.missing import check_rows

_SOS, _EOI, _APP1, _APP14, _COMMENT = 0xDA, 0xD9, 0xE1, 0xEE, 0xFE
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""A marker that a segment follows, or the end marker."""
_UNSUPPORTED = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "a lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "a hierarchical JPEG"),
    0xF7: "a JPEG-LS image",
}
_NO_DATA = 128
"""The value that libjpeg gives all channels of a block without data. In CMYK, rounding may make it 127."""

MAX_SCANS = 100
"""Maximum number of scans. Encoders write about 10. libjpeg visits every block of the image for each scan,
even for one of a few bytes.
"""

MAX_SEGMENTS = 10_000
"""Maximum number of segments before the pixels."""


@dataclass(frozen=True)
class JpegHeader:
    """The header of a JPEG file.

    Attributes:
        width: width in pixels.
        height: height in pixels.
        components: number of colour channels.
        unsupported: the variant of JPEG if it is not supported, else None.
        exif: EXIF data; empty if there is none.
        segments: start and end of each segment that describes the pixels, up to the header of the first scan.
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
        ValueError: the file ends before its pixels, has no frame header, or has too many segments.
        struct.error: the frame header is too short.
    """
    segments, exif, frame = [], b"", None
    for marker, start, end in islice(_segments(data), MAX_SEGMENTS):
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
        raise ValueError(f"the file has no pixels, or more than {MAX_SEGMENTS} segments before them")
    if frame is None:
        raise ValueError("the frame header is missing")
    marker, precision, height, width, components = frame
    unsupported = _UNSUPPORTED.get(marker)
    if unsupported is None and precision != 8:
        unsupported = f"a JPEG image with {precision} bits per sample"
    if unsupported is None and _has_too_many_scans(data, segments[-1][0]):
        unsupported = f"a JPEG image with more than {MAX_SCANS} scans"
    return JpegHeader(width, height, components, unsupported, exif, tuple(segments))


def decode(data: bytes, header: JpegHeader) -> UInt8[ndarray, "h w 3"]:
    """Return the RGB pixels of a JPEG file. They are compared with the header, and counted.

    The end marker does not matter: if the decoder warns, the file is decoded again without metadata and
    with an end marker. If it still warns, rows without data are counted.

    Raises:
        ValueError: the data is damaged, or rows are missing.
    """
    space = "CMYK" if header.components == 4 else "RGB"
    with suppress(ValueError):  # a warning, or an error that is raised again below
        return _to_rgb(simplejpeg.decode_jpeg(data, space, strict=True))
    plain = b"".join(
        [b"\xff\xd8", *(data[start:end] for start, end in header.segments), data[header.segments[-1][1] :]]
    )
    plain += b"\xff\xd9"
    with suppress(ValueError):
        return _to_rgb(simplejpeg.decode_jpeg(plain, space, strict=True))
    # After a warning, simplejpeg does not see errors, and returns rows that libjpeg has not written.
    buffer = np.full((header.height, header.width, len(space)), _NO_DATA, np.uint8)
    pixels: ndarray = simplejpeg.decode_jpeg(plain, space, strict=False, buffer=buffer)
    check_rows(len(pixels) - _rows_without_data(pixels), len(pixels))
    return _to_rgb(pixels)


def _to_rgb(pixels: ndarray) -> UInt8[ndarray, "h w 3"]:
    if pixels.shape[2] == 3:
        return pixels
    ink = np.ascontiguousarray(255 - pixels)  # by Adobe's convention, CMYK samples are inverted
    size = (ink.shape[1], ink.shape[0])
    return np.array(Pil.frombuffer("CMYK", size, ink, "raw", "CMYK", 0, 1).convert("RGB"))


def _segments(data: bytes, position: int = 2) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, the start and the end of each complete segment at `position` or later.

    Bytes between segments are skipped, as libjpeg does.
    """
    while (found := _MARKER.search(data, position)) is not None:
        start = found.start()
        end = start + 2 + max(2, int.from_bytes(data[start + 2 : start + 4]))
        if data[start + 1] == _EOI or start + 4 > len(data) or end > len(data):
            return
        yield data[start + 1], start, end
        position = end


def _has_too_many_scans(data: bytes, first: int) -> bool:
    """Return whether more than `MAX_SCANS` scans begin at `first` or later, before the end marker."""
    if data.count(bytes([0xFF, _SOS]), first) <= MAX_SCANS:
        return False  # data behind the end marker may have these bytes, too
    scans = (marker == _SOS for marker, _, _ in _segments(data, first))
    return next(islice(filter(None, scans), MAX_SCANS, None), False)


def _rows_without_data(pixels: ndarray) -> int:
    least = _NO_DATA if pixels.shape[2] == 3 else _NO_DATA - 1
    empty: ndarray = np.all((pixels >= least) & (pixels <= _NO_DATA), axis=(1, 2))
    return len(empty) if empty.all() else int(np.argmin(empty[::-1]))
