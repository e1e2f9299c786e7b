"""Photos of the datasets, decoded as the service decodes an upload."""

from pathlib import Path

from app.errors import BadImage
from app.vision.image import decode
from app.vision.pyramid import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""File name extensions of images, in lower case."""

MAX_PIXELS = 50_000_000
"""Maximum pixels of a photo. No photo of a dataset has more."""


def read_image(path: Path) -> Image:
    """Return the upright RGB pixels of a file.

    Raises:
        BadImage: the file is no image, or damaged; the message has its path.
    """
    try:
        return decode(path.read_bytes(), MAX_PIXELS, "file")
    except BadImage as error:
        raise BadImage(f"{path}: {error}") from error
