import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vision.file_types import identify


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "BMP"),
        (b"GIF87a", "GIF"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"\0\0\0\x20ftypheic", "HEIC"),
        (b"\0\0\0\x20ftypmif1", "HEIF"),
        (b"\0\0\0\x20ftypisom", "an MP4 or QuickTime video"),
        (b"\xff\x0a", "JPEG XL"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\0\0\x01\0\x01\0", "an ICO or CUR icon"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "SVG"),
        (b"\xef\xbb\xbf\n<?xml version='1.0'?>\n<!-- made by hand -->\n<svg>", "SVG"),
        (b"<?xml version='1.0'?><html/>", None),
        (b"RIFF\x10\0\0\0WAVE", None),
        (b"BMW is a maker of cars and motorcycles", None),
        (b"", None),
    ],
)
def test_signatures(data: bytes, name: str | None) -> None:
    assert identify(data) == name


@given(st.binary(max_size=100))
def test_any_bytes_get_an_answer(data: bytes) -> None:
    assert identify(data) is None or identify(data)


def test_no_text_takes_long() -> None:
    start = time.perf_counter()
    for text in (b"<!---->" * 100_000, b" " * 1_000_000, b"<?xml " * 100_000):
        assert identify(text) is None
    assert time.perf_counter() - start < 0.5
