"""An uploaded image."""

from dataclasses import dataclass

from numpy import ndarray


@dataclass(frozen=True)
class Upload:
    """An uploaded image.

    Attributes:
        image: the encoded image.
        boxes: boxes (n, 4) float32 in pixels, if the request has the field `boxes`.
    """

    image: bytes
    boxes: ndarray | None = None
