"""An uploaded image."""

from dataclasses import dataclass

from numpy import ndarray

from app.service.boxes import FIELD


@dataclass(frozen=True)
class Upload:
    """An uploaded image.

    Attributes:
        image: the encoded image.
        boxes: boxes (n, 4) float32 in pixels, if the request gives those of the faces.
        box_field: name of the field that gives them.
    """

    image: bytes
    boxes: ndarray | None = None
    box_field: str = FIELD
