"""Whatever the bytes: a picture, or one of the errors that say what is wrong with it."""

import io
from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pil

from app.errors import BadImage
from app.vision.file_types import identify
from app.vision.formats.exif import orientation
from app.vision.image import decode

PIXELS = 40_000
HEADS = (
    b"\xff\xd8\xff\xe0",
    b"\xff\xd8\xff\xe1\0\x10Exif\0\0MM\0*",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"RIFF\0\0\0\0WEBPVP8L",
    b"RIFF\0\0\0\0WEBPVP8X",
    b"BM" + bytes(12) + b"\x28\0\0\0",
    b"BM" + bytes(12) + b"\x0c\0\0\0",
    b"GIF89a",
    b"GIF87a",
)


@cache
def seed(format: str, mode: str) -> bytes:
    pixels = np.arange(24 * 18 * 3, dtype=np.uint8).reshape(18, 24, 3)
    out = io.BytesIO()
    exif = Pil.Exif()
    exif[0x0112] = 6
    more = {"exif": exif} if format in ("JPEG", "PNG", "WEBP") else {}
    Pil.fromarray(pixels).convert(mode).save(out, format, **more)
    return out.getvalue()


SEEDS = [
    *(("JPEG", mode) for mode in ("RGB", "L", "CMYK")),
    *(("PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")),
    *(("WEBP", mode) for mode in ("RGB", "RGBA")),
    *(("BMP", mode) for mode in ("RGB", "L", "P", "1")),
    *(("GIF", mode) for mode in ("P", "L")),
]

edits = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 30), st.binary(max_size=30)), min_size=1, max_size=6
)


def look(data: bytes) -> None:
    fault = None
    try:
        image = decode(data, PIXELS, "image")
    except BadImage as error:
        fault = error
    if fault is not None:
        assert fault.field == "image"
        assert len(fault.detail) < 600
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert 0 < image.shape[0] * image.shape[1] <= PIXELS


@given(st.sampled_from(SEEDS), edits)
def test_damaged_pictures(kind: tuple[str, str], changes: list[tuple[int, int, bytes]]) -> None:
    data = bytearray(seed(*kind))
    for place, taken, put in changes:
        at = place % len(data)
        data[at : at + taken] = put
        if not data:
            break
    look(bytes(data))


@given(st.sampled_from(SEEDS), st.integers(0, 10_000))
def test_pictures_that_end_early(kind: tuple[str, str], end: int) -> None:
    whole = seed(*kind)
    look(whole[: end % len(whole)])


@given(st.sampled_from(HEADS), st.binary(max_size=300))
def test_any_bytes_after_any_signature(head: bytes, tail: bytes) -> None:
    look(head + tail)


@given(st.binary(max_size=5000))
def test_any_bytes(data: bytes) -> None:
    name = identify(data)
    assert name is None or name
    look(data)


@given(st.sampled_from([b"II*\0", b"MM\0*", b""]), st.binary(max_size=200), st.booleans())
def test_any_exif(head: bytes, tail: bytes, prefixed: bool) -> None:
    assert 1 <= orientation((b"Exif\0\0" if prefixed else b"") + head + tail) <= 8
