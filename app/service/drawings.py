"""Writes images with results drawn on them into a folder, and recognises such images.

Every drawn image has a comment in its metadata that says so. A search leaves these images out, and no other
images are overwritten.
"""

import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Protocol

from app.errors import BadParameter
from app.service.file_reading import file_id, read_head, reason
from app.service.file_writing import replace
from app.vision.file_types import SUFFIXES

_COMMENT = b"Faces drawn by Facet"
_JPEG_COMMENT = b"\xff\xfe" + struct.pack(">H", 2 + len(_COMMENT)) + _COMMENT
_PNG_TEXT = b"tEXtComment\0" + _COMMENT
_PNG_COMMENT = struct.pack(">I", len(_PNG_TEXT) - 4) + _PNG_TEXT + struct.pack(">I", zlib.crc32(_PNG_TEXT))
_PNG_HEADER_END = 33  # the signature, then the chunk IHDR
_HEAD = 128


def mark(image: bytes) -> bytes:
    """Return an encoded image, JPEG or PNG as OpenCV writes them, with the comment of drawn images."""
    if image.startswith(b"\xff\xd8"):
        end = 4 + struct.unpack_from(">H", image, 4)[0]  # JFIF requires APP0 to be the first segment
        return image[:end] + _JPEG_COMMENT + image[end:]
    return image[:_PNG_HEADER_END] + _PNG_COMMENT + image[_PNG_HEADER_END:]


def is_drawing(data: bytes) -> bool:
    """Return whether the file that begins with these bytes was drawn by Facet."""
    head = data[:_HEAD]
    return _JPEG_COMMENT in head or _PNG_COMMENT in head


class Drawable(Protocol):
    """A result that can be drawn on its image."""

    def drawn(self, format: Literal["png", "jpeg"]) -> bytes:
        """Return the image with the result drawn on it, encoded as PNG or JPEG.

        Raises:
            BadParameter: a side of the image is longer than the format allows.
        """


class DrawingFolder:
    """A folder for drawn images.

    Args:
        folder: the folder. It is created when the first image is written.
        inputs: paths of the files of the run, which are never overwritten.
    """

    def __init__(self, folder: Path, inputs: Iterable[str]) -> None:
        self._folder = folder
        self._occupied = {file for path in inputs if (file := file_id(path))}
        self._numbers: dict[Path, int] = {}

    def write(self, result: Drawable, relative: str) -> Path:
        """Write the drawn image: as JPEG if the suffix is one of JPEG, else as PNG.

        Only drawings of earlier runs are overwritten. If another file has the name, a number is added to it.

        Args:
            result: the result to draw.
            relative: path of the image in the folder.

        Returns:
            The path of the written file.

        Raises:
            BadParameter: the file cannot be written.
        """
        source = Path(relative)
        suffix = source.suffix.lower()
        jpeg = suffix in SUFFIXES["JPEG"]
        name = source if jpeg or suffix == ".png" else source.with_name(f"{source.name}.png")
        target = self._free(self._folder / name, source.stem)
        data = mark(result.drawn("jpeg" if jpeg else "png"))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            replace(target, data)
        except OSError as error:
            raise BadParameter(
                f"The drawn image {target} cannot be written: {reason(error)}.", "draw"
            ) from error
        if drawn := file_id(target):
            self._occupied.add(drawn)
        return target

    def _free(self, wanted: Path, stem: str) -> Path:
        """Return the path, with a number if another file has this name."""
        if not self._is_taken(wanted):
            return wanted
        number = self._numbers.get(wanted, 2)
        while self._is_taken(target := wanted.with_name(f"{stem}-{number}{wanted.suffix}")):
            number += 1
        self._numbers[wanted] = number + 1
        return target

    def _is_taken(self, target: Path) -> bool:
        if not os.path.lexists(target):
            return False
        identity = file_id(target)
        if identity is None or identity in self._occupied:
            return True
        try:
            return not is_drawing(read_head(str(target)))
        except OSError:
            return True
