"""What is drawn at an identified face."""

import numpy as np
import pytest

from app.pipeline.faces import Faces
from app.service.gallery_responses import IdentifiedFace, IdentifyResponse, PersonName
from app.service.identified_image import IdentifiedImage, ascii_name
from app.service.responses import Face, Size


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ann", "Ann"),
        ("Jos\u00e9 N\u00fa\u00f1ez", "Jose Nunez"),
        ("S\u00f8ren Stra\u00dfe", "Soren Strasse"),
        ("\u9854", None),
        ("\u0410\u043d\u043d\u0430", None),
    ],
)
def test_names_in_ascii(name: str, expected: str | None) -> None:
    assert ascii_name(name) == expected


def drawn(person: PersonName | None) -> bytes:
    image = np.full((300, 800, 3), 128, np.uint8)
    faces = Faces(
        np.array([[100, 100, 250, 280]], np.float32),
        np.array([0.9], np.float32),
        np.full((1, 5, 2), 150, np.float32),
    )
    face = Face.all_of(faces)[0].model_dump()
    response = IdentifyResponse(
        image=Size.of(image),
        faces=[IdentifiedFace(**face, person=person, similarity=0.876, candidates=[])],
        threshold=0.7,
        fpir=0.01,
        gallery_faces=1,
        model="vectors",
        detector="detector",
        timing_ms={"total": 1.0},
    )
    return IdentifiedImage(response, faces, lambda: image).drawn("png")


def named(name: str | None, external_id: str | None = None) -> bytes:
    return drawn(PersonName(id="0123456789abcdef", name=name, external_id=external_id))


def test_what_is_drawn() -> None:
    ann = named("Ann")
    assert ann not in (named("Bob"), drawn(None))
    assert named("\u00c1nn") == ann
    assert named("\u9854", "Ann") == named(None, "Ann") == ann
    assert named("\u9854") == named("\u9854", "\u9854") == named("01234567")
    assert named("J" * 200) == named("J" * 29 + "...")
