"""What the TFRecord files of landmark crops and of identity crops have in common."""

import cv2
import numpy as np
from jaxtyping import Float64, UInt8
from numpy import ndarray

from training.data.storage.prepared import BadPreparedData
from training.data.storage.tfrecord import Record


def encode_png(image: UInt8[ndarray, "h w 3"]) -> bytes:
    """Return an RGB image as PNG."""
    _, png = cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))
    return png.tobytes()


def decode_png(png: bytes) -> UInt8[ndarray, "h w 3"]:
    """Return the RGB pixels of a PNG file.

    Raises:
        BadPreparedData: the bytes are no PNG file.
    """
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB) if png else None
    if image is None:
        raise BadPreparedData(
            "A record of the prepared data holds a damaged image. Run `training.prepare` again."
        )
    return np.asarray(image)


def bytes_of(record: Record, name: str) -> bytes:
    """Return a feature of a record.

    Raises:
        BadPreparedData: the record has no such feature, or it holds numbers.
    """
    value = record.get(name)
    if not isinstance(value, bytes):
        raise BadPreparedData(
            f"A record has no bytes {name!r}. Write the file again with `training.prepare`."
        )
    return value


def to_input(side: int, span: int, size: int) -> Float64[ndarray, "2 3"]:
    """Return the matrix from a crop to the input of a net.

    Args:
        side: side of the crop in pixels.
        span: side of the crop's central square that the net gets.
        size: side of the net's input in pixels.
    """
    scale = size / span
    shift = (size - 1) / 2 - scale * (side - 1) / 2
    return np.array([[scale, 0, shift], [0, scale, shift]])
