"""Images as callers have them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Pil

from facet_client.images import read_image

MODES = {(): "L", (1,): "L", (3,): "RGB", (4,): "RGBA"}


@given(st.data(), st.sampled_from(sorted(MODES)))
def test_an_array_is_sent_as_png_with_the_same_pixels(data: st.DataObject, channels: tuple[int, ...]) -> None:
    side = st.integers(1, 20)
    pixels = data.draw(arrays.arrays(np.uint8, (data.draw(side), data.draw(side), *channels)))
    image = Pil.open(io.BytesIO(read_image(pixels)))
    assert (image.format, image.mode) == ("PNG", MODES[channels])
    expected = pixels[:, :, 0] if channels == (1,) else pixels
    np.testing.assert_array_equal(np.asarray(image), expected)


def test_a_view_of_an_array_is_sent_as_it_looks() -> None:
    pixels = np.arange(10 * 8 * 3, dtype=np.uint8).reshape(10, 8, 3)
    for view in (pixels[::-1, ::2], pixels[..., ::-1], pixels.transpose(1, 0, 2)):
        np.testing.assert_array_equal(np.asarray(Pil.open(io.BytesIO(read_image(view)))), view)


def test_files_and_bytes_are_sent_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(b"content")
    file = io.BytesIO(b"a content")
    file.seek(2)
    encoded = np.frombuffer(b"content", np.uint8)
    for image in (path, str(path), b"content", bytearray(b"content"), memoryview(b"content"), file, encoded):
        assert read_image(image) == b"content"


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4, 3)), "the type 'd', not uint8"),
        (np.zeros((4, 4), bool), "not uint8"),
        (np.zeros(4, np.float32), "not uint8"),
        (np.zeros((4, 4, 2), np.uint8), r"the shape \(4, 4, 2\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), "the shape"),
        (np.zeros((0, 4, 3), np.uint8), "the shape"),
        (np.zeros((), np.uint8), "the shape"),
    ],
)
def test_other_arrays_are_refused(pixels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_image(pixels)


@pytest.mark.parametrize("image", [None, 3, [1, 2], Pil.new("RGB", (2, 2))])
def test_what_is_no_image_is_refused(image: Any) -> None:
    with pytest.raises(TypeError, match=r"is not an image\. Pass a path, bytes"):
        read_image(image)
    with pytest.raises(TypeError, match="'rb'"):
        read_image(io.StringIO("text"))  # type: ignore[arg-type]
