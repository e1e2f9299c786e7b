"""Images by Pillow's readers, converted to RGB."""

import io
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image as Pil
from PIL.ImageFile import ImageFile

Reader = Callable[[io.BytesIO], ImageFile]
"""A class of Pillow that reads one format."""


def load(reader: Reader, data: bytes, check_size: Callable[[tuple[int, int]], None]) -> ImageFile:
    """Return a loaded image.

    Args:
        reader: the reader of the format.
        data: the encoded image.
        check_size: raises an error if the size is not acceptable; it is called before the pixels are decoded.
    """
    picture = reader(io.BytesIO(data))
    check_size(picture.size)
    picture.load()
    return picture


def exif(picture: ImageFile) -> bytes:
    """Return the EXIF data of an image; empty if there is none."""
    data = picture.info.get("exif", b"")
    return data if isinstance(data, bytes) else b""


def to_rgb(picture: ImageFile, depth: int = 8) -> UInt8[ndarray, "h w 3"]:
    """Return the RGB pixels of a loaded image.

    Transparent pixels are blended with white. An alpha channel that is zero everywhere in a BMP is not
    used. 16-bit samples keep their high byte.

    Args:
        picture: the image.
        depth: bits per sample in the file.
    """
    if picture.mode.startswith("I;16"):
        return _deep_grey(picture)
    _scale_transparent(picture, depth)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        alpha = layer.getchannel("A")
        if picture.format == "BMP" and alpha.getextrema() == (0, 0):
            return np.array(layer.convert("RGB"))
        white = Pil.new("RGB", layer.size, "white")
        white.paste(layer, mask=alpha)
        return np.array(white)
    return np.array(picture.convert("RGB"))


def _deep_grey(picture: ImageFile) -> UInt8[ndarray, "h w 3"]:
    deep = np.array(picture)
    grey = (deep >> 8).astype(np.uint8)
    if (transparent := picture.info.get("transparency")) is not None:
        grey[deep == transparent] = 255
    return np.repeat(grey[:, :, None], 3, axis=2)


def _scale_transparent(picture: ImageFile, depth: int) -> None:
    """Convert the transparent colour from the file's bit depth to the 8 bits of Pillow's pixels."""
    colour = picture.info.get("transparency")
    scale = {2: 85.0, 4: 17.0, 16: 1 / 256}.get(depth)
    if scale is None or colour is None or picture.mode not in {"L", "RGB"}:
        return
    many = isinstance(colour, tuple)
    picture.info["transparency"] = tuple(int(c * scale) for c in colour) if many else int(colour * scale)
