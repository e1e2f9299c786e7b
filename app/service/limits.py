"""Limits on requests."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Maxima for a request.

    Attributes:
        image_bytes: bytes of one encoded picture.
        image_pixels: width times height of one picture.
        faces: faces in an answer.
        boxes: boxes in a request.
        batch_images: pictures of a batch.
        batch_bytes: bytes of a batch's pictures together.
    """

    image_bytes: int
    image_pixels: int
    faces: int
    boxes: int
    batch_images: int = 16
    batch_bytes: int = 64 << 20

    def bytes_of(self, pictures: int) -> int:
        """Return the maximum bytes of so many pictures together."""
        return pictures * self.image_bytes
