"""An uploaded picture."""

from dataclasses import dataclass

from numpy import ndarray


@dataclass(frozen=True)
class Upload:
    """An encoded picture, and the boxes (n, 4) of the request, if it has any."""

    image: bytes
    boxes: ndarray | None = None
