"""Limits on requests."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits on one request.

    Attributes:
        image_bytes: maximum size of one encoded image in bytes.
        image_pixels: maximum width times height of one image in pixels.
        faces: maximum number of faces in a response.
        boxes: maximum number of boxes in a request.
        batch_images: maximum number of images in a batch.
        batch_bytes: maximum total size of the encoded images of a batch in bytes.
        import_bytes: maximum size of an imported collection in bytes.
    """

    image_bytes: int
    image_pixels: int
    faces: int
    boxes: int
    batch_images: int = 16
    batch_bytes: int = 64 << 20
    import_bytes: int = 256 << 20

    def bytes_of(self, pictures: int) -> int:
        """Return the maximum total size in bytes of this number of encoded images."""
        return pictures * self.image_bytes
