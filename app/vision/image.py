"""Decoding of images to RGB pixels, and encoding.

The size is read from the header first, so that an image that exceeds the pixel limit is refused before
memory is allocated for its pixels. `app.vision.formats` separates pixels from metadata.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal

import cv2
import numpy as np
from numpy import ndarray
from PIL import features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.errors import (
    BadParameter,
    FacetError,
    NotAnImage,
    TooManyPixels,
    TruncatedImage,
    UnsupportedFormat,
    is_out_of_memory,
)
from app.vision.file_types import identify
from app.vision.formats import exif, gif, jpeg, pillow, png, webp
from app.vision.formats.missing import check_rows
from app.vision.pyramid import Image

_JPEG_SIDE = 65_500  # libjpeg's JPEG_MAX_DIMENSION
_PNG_SIDE = 1_000_000  # libpng's PNG_USER_WIDTH_MAX and PNG_USER_HEIGHT_MAX
_JPEG_QUALITY = 92

CheckSize = Callable[[tuple[int, int]], None]
"""Raises TooManyPixels if width times height exceeds the limit."""

Pixels = tuple[ndarray, int]
"""RGB pixels as stored, and the EXIF orientation, 1 to 8."""


class _UnsupportedVariant(Exception):
    """The format is supported, but not this variant of it; the argument names it."""


def decode(
    data: bytes, max_pixels: int, field: str, on_pixels: Callable[[int], None] = lambda pixels: None
) -> Image:
    """Return an image as RGB (h, w, 3) uint8, turned upright by its EXIF orientation.

    Transparent pixels are blended with white. 16-bit samples keep their high byte. Of an animation, the first
    frame is returned.

    Args:
        data: the encoded image.
        max_pixels: maximum width times height, at most 178,000,000, because Pillow refuses larger images of
            some formats.
        field: name of the field of the request, for the errors.
        on_pixels: receives the number of pixels before they are decoded. Its errors are passed on.

    Raises:
        NotAnImage: the bytes are not an image of any known format.
        UnsupportedFormat: the format is known, but not supported.
        TooManyPixels: the image exceeds the limit. It was not decoded.
        TruncatedImage: the data is damaged, or more than a few rows are missing.
        MemoryError: there is not enough memory for the pixels.
        FacetError: `on_pixels` raised it.
    """
    if not data:
        raise NotAnImage(f"The {field} is empty. Send an encoded image.", field)
    kind = identify(data)
    if kind is None:
        raise NotAnImage(
            f"The {field} is not an image of a known format. Send one of: {', '.join(READABLE)}.", field
        )
    if kind not in _READERS:
        raise UnsupportedFormat(_unsupported(field, kind), field)

    def check_size(size: tuple[int, int]) -> None:
        width, height = size
        if width * height > max_pixels:
            raise TooManyPixels(
                f"The {field} has {width} x {height} = {width * height} pixels; at most {max_pixels} are "
                "accepted.",
                field,
            )
        if not announced:
            announced.append(width * height)
            on_pixels(width * height)

    announced: list[int] = []  # readers may check the size twice
    try:
        pixels, turn = _READERS[kind](data, check_size)
        return _upright(pixels, turn)
    except (FacetError, MemoryError):
        raise
    except _UnsupportedVariant as error:
        raise UnsupportedFormat(_unsupported(field, str(error)), field) from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error and others
        if is_out_of_memory(error):
            raise MemoryError(str(error)) from error
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
    quality = {"png": [cv2.IMWRITE_PNG_COMPRESSION, 3], "jpeg": [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]}
    done, data = cv2.imencode(f".{format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality[format])
    if not done:
        raise RuntimeError(f"OpenCV failed to encode an image of shape {image.shape} as {format.upper()}.")
    return data.tobytes()


def _jpeg(data: bytes, check_size: CheckSize) -> Pixels:
    header = jpeg.read_header(data)
    if header.unsupported is not None:
        raise _UnsupportedVariant(header.unsupported)
    check_size((header.width, header.height))
    return jpeg.decode(data, header), exif.orientation(header.exif)


def _png(data: bytes, check_size: CheckSize) -> Pixels:
    file = png.read(data)
    check_size((file.width, file.height))
    try:
        picture = pillow.load(PngImageFile, file.file(), check_size)
        last_row = picture.crop((0, file.height - 1, file.width, file.height))
        if last_row.getbbox(alpha_only=False) is None:  # Pillow leaves missing rows at zero without an error
            check_rows(*png.rows_present(file))
    except (OSError, SyntaxError):
        check_rows(*png.rows_present(file))
        picture = pillow.load(PngImageFile, png.completed(file), check_size)
    return pillow.to_rgb(picture, file.depth), exif.orientation(file.exif)


def _webp(data: bytes, check_size: CheckSize) -> Pixels:
    if (size := webp.size(data)) is not None:
        check_size(size)  # Pillow allocates memory for the canvas when it opens the file
    plain, metadata = webp.split_metadata(data)
    picture = pillow.load(WebPImageFile, plain, check_size)
    return pillow.to_rgb(picture), exif.orientation(metadata)


def _gif(data: bytes, check_size: CheckSize) -> Pixels:
    check_size(gif.size(data))  # Pillow may allocate memory for the screen when it opens the file
    return pillow.to_rgb(pillow.load(GifImageFile, data, check_size)), 1


def _bmp(data: bytes, check_size: CheckSize) -> Pixels:
    return pillow.to_rgb(pillow.load(BmpImageFile, data, check_size)), 1


def _avif(data: bytes, check_size: CheckSize) -> Pixels:
    picture = pillow.load(AvifImageFile, data, check_size)
    return pillow.to_rgb(picture), exif.orientation(pillow.exif(picture))


def _heif(data: bytes, check_size: CheckSize) -> Pixels:
    from pi_heif import HeifImageFile  # an optional package

    # libheif turns the image upright by itself.
    return pillow.to_rgb(pillow.load(HeifImageFile, data, check_size)), 1


_READERS: dict[str, Callable[[bytes, CheckSize], Pixels]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WebP": _webp,
    "BMP": _bmp,
    "GIF": _gif,
}
if features.check("avif"):
    _READERS["AVIF"] = _avif
if find_spec("pi_heif") is not None:
    _READERS |= {"HEIC": _heif, "HEIF": _heif}

READABLE = tuple(_READERS)
"""Names of the image formats that `decode` reads. HEIC and HEIF need the optional package pi-heif."""


def _unsupported(field: str, kind: str) -> str:
    """Return the message for a format, or a variant of a format, that is not supported."""
    readable = ", ".join(READABLE)
    if kind in {"HEIC", "HEIF"}:
        return (
            f"The {field} is {kind}, which needs the optional package pi-heif. Ask the operator to install "
            f"it (`make heif`, or the extra `heif`), or send one of: {readable}."
        )
    return f"The {field} is {kind}, which is not supported. Send one of: {readable}."


def _upright(image: ndarray, turn: int) -> Image:
    if turn >= 5:
        image = image.transpose(1, 0, 2)
    if turn in {3, 4, 7, 8}:
        image = image[::-1]
    if turn in {2, 3, 6, 7}:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
