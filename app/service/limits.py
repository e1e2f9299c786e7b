"""Limits on requests."""

from dataclasses import dataclass, replace
from typing import Self


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
        cluster_images: maximum number of images of a clustering.
        cluster_bytes: maximum total size of the encoded images of a clustering in bytes.
        cluster_faces: maximum number of faces of all images of a clustering.
        cluster_timeout_s: maximum seconds from the end of the body of a clustering to the response.
    """

    image_bytes: int
    image_pixels: int
    faces: int
    boxes: int
    batch_images: int = 16
    batch_bytes: int = 64 << 20
    import_bytes: int = 256 << 20
    cluster_images: int = 1000
    cluster_bytes: int = 512 << 20
    cluster_faces: int = 10_000
    cluster_timeout_s: float = 600

    def bytes_of(self, pictures: int) -> int:
        """Return the maximum total size in bytes of this number of encoded images."""
        return pictures * self.image_bytes

    def of_clusters(self) -> Self:
        """Return the limits with those of a clustering in place of those of a batch."""
        return replace(self, batch_images=self.cluster_images, batch_bytes=self.cluster_bytes)
