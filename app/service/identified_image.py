"""The result of an identification, which can be drawn on its image."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.pipeline.faces import Faces
from app.service.gallery_responses import IdentifiedFace, IdentifyResponse
from app.vision import image as images
from app.vision.draw import draw
from app.vision.pyramid import Image

_UNKNOWN = "unknown"

_ID_DIGITS, _MOST_SIGNS = 8, 32

_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d",
     "Ð": "D", "ł": "l", "Ł": "L", "þ": "th", "Þ": "Th"}
)  # fmt: skip
"""Latin letters that are not an ASCII letter with a diacritic."""


@dataclass(frozen=True)
class IdentifiedImage:
    """The result of an identification.

    Attributes:
        response: the response.
        faces: the faces of the response, as arrays.
        load: returns the decoded image.
    """

    response: IdentifyResponse
    faces: Faces
    load: Callable[[], Image]

    def drawn(self, format: Literal["png", "jpeg"]) -> bytes:
        """Return the image with the faces, their names and similarities drawn on it, as PNG or JPEG.

        Raises:
            BadParameter: a side of the image is longer than the format allows.
        """
        texts = [_text(face) for face in self.response.faces]
        return images.encode(draw(self.load(), self.faces.boxes, texts, self.faces.points), format)


def ascii_name(name: str) -> str | None:
    """Return a name in ASCII, with letters without their diacritics; None if it has other letters."""
    plain = "".join(
        sign
        for sign in unicodedata.normalize("NFKD", name.translate(_LETTERS))
        if not unicodedata.combining(sign)
    )
    return plain if plain.isascii() and plain.isprintable() else None


def _text(face: IdentifiedFace) -> str:
    """Return the text of a face: name, external id or the beginning of the id, and the similarity."""
    person = face.person
    if person is None:
        return _UNKNOWN
    known = (ascii_name(text) for text in (person.name, person.external_id) if text)
    name = next(filter(None, known), person.id[:_ID_DIGITS])
    if len(name) > _MOST_SIGNS:
        name = f"{name[: _MOST_SIGNS - 3]}..."
    return f"{name} {face.similarity:.2f}"
