import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.body_guess import check_image, guess
from app.errors import NotAnImage
from tests.api.pictures import picture, sentence


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_pictures(format: str) -> None:
    found = guess(picture(format=format))
    assert found is not None
    assert found.media == f"image/{format.lower()}"
    check_image(picture(format=format), "image")


@pytest.mark.parametrize("data", [b"", b"\0" * 40, b"\xfa\xfb\xfc" * 30, bytes(range(128, 256))])
def test_what_looks_like_nothing_is_left_to_the_decoder(data: bytes) -> None:
    assert guess(data) is None
    check_image(data, "image")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_an_error_is_a_sentence(data: bytes) -> None:
    fault = None
    try:
        check_image(data, "image_a")
    except NotAnImage as error:
        fault = error
    if fault is not None:
        sentence(fault.detail)
        assert fault.field == "image_a"
        assert len(fault.detail) < 700
