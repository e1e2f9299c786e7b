"""Decoding of images to RGB pixels, and encoding.

Pillow decodes JPEG, PNG, WebP, BMP and the first frame of a GIF. The header is read first, so that an image
that exceeds the pixel limit is refused before memory is allocated for its pixels.
"""

import io
import struct
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from numpy import ndarray
from PIL import Image as Pil
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.errors import BadParameter, NotAnImage, TooManyPixels, TruncatedImage, UnsupportedFormat
from app.vision.file_types import identify
from app.vision.pyramid import Image

_JPEG_SIDE = 65_500  # libjpeg's JPEG_MAX_DIMENSION
_PNG_SIDE = 1_000_000  # libpng's PNG_USER_WIDTH_MAX and PNG_USER_HEIGHT_MAX
_JPEG_QUALITY = 92


class _Jpeg(JpegImageFile):
    """Pillow's JPEG reader. It does not read the resolution from EXIF, which may fail or warn."""

    def _read_dpi_from_exif(self) -> None:
        pass


_READERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "JPEG": _Jpeg,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}

READABLE = tuple(_READERS)
"""Names of the image formats that `decode` reads."""


def decode(data: bytes, max_pixels: int, field: str) -> Image:
    """Return an image as RGB (h, w, 3) uint8, turned upright by its EXIF orientation.

    Transparent pixels are blended with white. 16-bit samples keep their high byte.

    Args:
        data: the encoded image.
        max_pixels: maximum width times height, at most 178,000,000, because Pillow refuses larger images of
            some formats.
        field: name of the field of the request, for the errors.

    Raises:
        NotAnImage: the bytes are not an image of any known format.
        UnsupportedFormat: the format is known, but not supported.
        TooManyPixels: the image exceeds the limit. It was not decoded.
        TruncatedImage: the data is damaged or incomplete.
        MemoryError: there is not enough memory for the pixels.
    """
    if not data:
        raise NotAnImage(f"The {field} is empty. Send an encoded image.", field)
    kind = identify(data)
    if kind is None:
        raise NotAnImage(
            f"The {field} is not an image of a known format. Send one of: {', '.join(READABLE)}.", field
        )
    if kind not in _READERS:
        raise UnsupportedFormat(
            f"The {field} is {kind}, which is not supported. Send one of: {', '.join(READABLE)}.", field
        )
    try:
        size = {"WebP": _webp_size, "GIF": _gif_size}.get(kind, _unknown)(data)
        _check_size(size, max_pixels, field)
        with _READERS[kind](io.BytesIO(data)) as picture:
            _check_size(picture.size, max_pixels, field)
            picture.load()
            exif = picture.info.get("exif", b"")
            return _upright(_rgb(picture, data), orientation(exif if isinstance(exif, bytes) else b""))
    except (TooManyPixels, MemoryError):
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error and others
        raise TruncatedImage(
            f"The {field} is a {kind} image whose data is damaged or incomplete ({error}).", field
        ) from error


def encode(image: Image, format: Literal["png", "jpeg"]) -> bytes:
    """Return an image, RGB (h, w, 3) uint8, as PNG or JPEG bytes.

    Args:
        image: the image.
        format: `png` or `jpeg`.

    Raises:
        BadParameter: a side is longer than the format allows: 1,000,000 pixels for PNG, 65,500 for JPEG.
        RuntimeError: OpenCV failed to encode the image.
    """
    longest, most = max(image.shape[:2]), _PNG_SIDE if format == "png" else _JPEG_SIDE
    if longest > most:
        instead = "image/png" if longest <= _PNG_SIDE else "application/json"
        raise BadParameter(
            f"The longer side of the image has {longest} pixels; {format.upper()} supports at most {most}. "
            f"Set the header Accept to {instead}.",
            "accept",
        )
    png, jpeg = [cv2.IMWRITE_PNG_COMPRESSION, 3], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    options = png if format == "png" else jpeg
    done, data = cv2.imencode(f".{format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise RuntimeError(f"OpenCV failed to encode an image of shape {image.shape} as {format.upper()}.")
    return data.tobytes()


def orientation(exif: bytes) -> int:
    """Return the orientation in EXIF data, 1 to 8; 1 if there is none or the data is malformed."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * entry)
            if tag == 0x0112:
                return value if (kind, count) == (3, 1) and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _check_size(size: tuple[int, int] | None, most: int, field: str) -> None:
    if size is not None and size[0] * size[1] > most:
        width, height = size
        raise TooManyPixels(
            f"The {field} has {width} x {height} = {width * height} pixels; at most {most} are accepted.",
            field,
        )


def _unknown(data: bytes) -> None:
    """Return None: for this format Pillow allocates no memory for the pixels when it opens the file."""


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Return the size of the canvas of a WebP. Pillow allocates memory for it when it opens the file."""
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


def _gif_size(data: bytes) -> tuple[int, int]:
    """Return the size of the logical screen of a GIF, enlarged to contain the first frame.

    Pillow may allocate memory for it when it opens the file.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[at : at + 1] == b"!":  # an extension before the first frame: a label, then sub-blocks
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    if data[at : at + 1] == b",":
        left, top, frame_width, frame_height = struct.unpack_from("<HHHH", data, at + 1)
        width, height = max(width, left + frame_width), max(height, top + frame_height)
    return width, height


def _rgb(picture: ImageFile, data: bytes) -> ndarray:
    if picture.mode.startswith("I;16"):
        return _deep_grey(picture)
    if picture.format == "PNG":
        _scale_transparent(picture, data[24])
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = Pil.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer.getchannel("A"))
        return np.array(white)
    return np.array(picture.convert("RGB"))


def _deep_grey(picture: ImageFile) -> ndarray:
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


def _upright(image: ndarray, turn: int) -> ndarray:
    if turn >= 5:
        image = image.transpose(1, 0, 2)
    if turn in {3, 4, 7, 8}:
        image = image[::-1]
    if turn in {2, 3, 6, 7}:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
