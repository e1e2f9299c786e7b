"""Images as callers have them: files, bytes and arrays of pixels."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
"""PNG's code of the colour type, by the number of channels."""

_LEVEL = 1
"""zlib's compression level. Higher levels take twice as long and save 5% of the bytes of a photograph."""


class PixelArray(Protocol):
    """An array such as `numpy.ndarray`."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


Image: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | PixelArray
"""An image: the path of a file, the bytes of one, a binary file object, or an array of pixels.

An array has the type uint8 and the shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4): grey, RGB or RGBA. It is
sent as PNG. An array with one axis is taken as the bytes of an encoded image.
"""


def read_image(image: Image) -> bytes:
    """Return the bytes of an encoded image.

    Args:
        image: the image. A file object is read from its current position to its end.

    Raises:
        OSError: the file cannot be read.
        TypeError: it is nothing that can be an image.
        ValueError: the type or the shape of the array is not supported.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | os.PathLike):
        return Path(image).read_bytes()
    if hasattr(image, "read"):
        content = image.read()
        if not isinstance(content, bytes):
            raise TypeError("The file object of an image yields text. Open the file with the mode 'rb'.")
        return content
    try:
        view = memoryview(image)  # type: ignore[arg-type] # numpy declares its buffer since Python 3.12 only
    except TypeError:
        raise TypeError(
            f"A {type(image).__name__} is not an image. Pass a path, bytes, a binary file object or an array."
        ) from None
    return view.tobytes() if view.ndim == 1 and view.itemsize == 1 else _encode_png(view)


def _encode_png(pixels: memoryview) -> bytes:
    """Return pixels as PNG.

    Args:
        pixels: uint8 of the shape (h, w) or (h, w, c).

    Raises:
        ValueError: the type or the shape is not supported.
    """
    if pixels.format != "B":
        raise ValueError(
            f"The array of pixels has the type {pixels.format!r}, not uint8. Convert it to values 0 to 255, "
            "for example with array.astype('uint8')."
        )
    shape = pixels.shape or ()
    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels not in _COLOUR_TYPES or 0 in shape:
        raise ValueError(
            f"The array of pixels has the shape {shape}. Pass (h, w) for grey, (h, w, 3) for RGB or "
            "(h, w, 4) for RGBA."
        )
    height, width = shape[:2]
    samples, stride = pixels.tobytes(), width * channels
    rows = b"".join(b"\0" + samples[start : start + stride] for start in range(0, len(samples), stride))
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    body = zlib.compress(rows, _LEVEL)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
