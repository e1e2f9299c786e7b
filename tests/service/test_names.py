import pytest

from app.service.names import nearest

KNOWN = ("model", "min_face_size", "threshold", "max_faces")


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("modle", "model"),
        ("MODEL", "model"),
        ("min-face-size", "min_face_size"),
        ("minFaceSize", "min_face_size"),
        ("min_size", "min_face_size"),
        ("treshold", "threshold"),
        ("maxfaces[]", "max_faces"),
        ("colour", None),
        ("", None),
        ("x" * 1_000_000, None),
    ],
)
def test_the_nearest_name(name: str, like: str | None) -> None:
    assert nearest(name, KNOWN) == like


def test_nothing_is_known() -> None:
    assert nearest("model", ()) is None
