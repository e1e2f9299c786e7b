"""Photographs of the datasets, decoded as the service decodes an upload."""

from pathlib import Path

from app.vision.image import decode
from app.vision.pyramid import Image

MAX_PIXELS = 50_000_000
"""Maximum pixels of a photograph. No photograph of a dataset has more."""


def read_image(path: Path) -> Image:
    """Return the upright RGB pixels of a file. Raises BadImage, naming the file, if it is no image."""
    return decode(path.read_bytes(), MAX_PIXELS, path.name)
