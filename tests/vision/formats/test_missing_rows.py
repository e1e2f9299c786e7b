"""Truncation is the lack of rows: a file that lacks more than a few is refused, whatever its end says."""

import io
import struct
import zlib

import numpy as np
import pytest

from app.errors import TruncatedImage, UnsupportedFormat
from app.vision.formats import png
from app.vision.formats.jpeg import MAX_SCANS, MAX_SEGMENTS
from app.vision.formats.missing import MAX_MISSING_ROWS
from app.vision.image import decode
from tests.vision.formats.test_metadata import LIMIT, SIZE, encoded, png_chunk, scene

EOI = b"\xff\xd9"
JPEGS: dict[str, dict[str, object]] = {
    "plain": {},
    "4:4:4": {"subsampling": 0},
    "restart markers": {"restart_marker_rows": 1},
    "optimised": {"optimize": True},
}


def cut(data: bytes, share: float) -> bytes:
    start = data.index(b"\xff\xda")
    return data[: start + int((len(data) - start) * share)]


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
@pytest.mark.parametrize("end", [b"", EOI, EOI * 3, b"\0" * 20])
def test_a_jpeg_that_lacks_rows_is_refused(options: dict[str, object], share: float, end: bytes) -> None:
    data = cut(encoded("JPEG", quality=95, **options), share)
    with pytest.raises(TruncatedImage, match="rows are missing"):
        decode(data + end, LIMIT, "image")


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_jpegs_that_lack_rows_are_refused(mode: str) -> None:
    out = io.BytesIO()
    scene().convert(mode).save(out, "JPEG", quality=95)
    assert decode(out.getvalue()[:-2], LIMIT, "image").shape == (*SIZE[::-1], 3)
    with pytest.raises(TruncatedImage, match="rows are missing"):
        decode(cut(out.getvalue(), 0.4) + EOI, LIMIT, "image")


def test_a_progressive_jpeg_without_its_last_scans_is_read() -> None:
    """Every pixel is there, with less detail."""
    data = encoded("JPEG", quality=95, progressive=True)
    scans = [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)]
    assert len(scans) > 4
    found = decode(data[: scans[-1]], LIMIT, "image")
    assert np.abs(found.astype(int) - np.asarray(scene())).mean() < 8


def test_a_progressive_jpeg_that_lacks_rows_of_its_first_scan_is_refused() -> None:
    data = encoded("JPEG", quality=95, progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    with pytest.raises(TruncatedImage, match="rows are missing"):
        decode(data[: first + (second - first) // 5], LIMIT, "image")


def scans_of(data: bytes) -> list[int]:
    return [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)]


@pytest.mark.parametrize("scan", [1, 3, 9])
def test_memory_that_the_decoder_has_not_written_is_not_returned(scan: int) -> None:
    """After a warning, simplejpeg does not see the error, and returns its buffer as it was allocated."""
    data = encoded("JPEG", quality=95, progressive=True)
    at = scans_of(data)[scan]
    warning, error = b"zz", b"\xff\x02\x00\x04ab"
    with pytest.raises(TruncatedImage, match="90 of 90 rows are missing"):
        decode(data[:at] + warning + error + data[at:], LIMIT, "image")


@pytest.mark.parametrize(
    ("options", "fill", "start", "end"),
    [
        ({"restart_marker_rows": 1}, b"\0", 0.4, 1.0),
        ({"restart_marker_rows": 1}, b"\xff", 0.25, 0.75),
        ({}, b"\xff", 0.25, 0.75),
        ({}, b"\0", 0.4, 1.0),
    ],
)
def test_a_jpeg_with_a_part_without_data_is_refused(
    options: dict[str, object], fill: bytes, start: float, end: float
) -> None:
    """The warnings of libjpeg differ: extraneous bytes, an unsupported marker, a premature end."""
    data = encoded("JPEG", quality=95, **options)
    at = scans_of(data)[0]
    first, last = (at + int((len(data) - at) * share) for share in (start, end))
    with pytest.raises(TruncatedImage, match="rows are missing"):
        decode(data[:first] + fill * (last - first) + data[last:], LIMIT, "image")


def test_a_jpeg_in_ycck_that_lacks_rows_is_refused() -> None:
    out = io.BytesIO()
    scene().convert("CMYK").save(out, "JPEG", quality=95)
    data = out.getvalue()
    transform = data.index(b"Adobe") + 11
    data = data[:transform] + b"\x02" + data[transform + 1 :]
    assert decode(data, LIMIT, "image").shape == (*SIZE[::-1], 3)
    with pytest.raises(TruncatedImage, match="rows are missing"):
        decode(cut(data, 0.4), LIMIT, "image")


def test_a_jpeg_with_too_many_scans_is_not_decoded() -> None:
    data = encoded("JPEG", quality=95, progressive=True)[:-2]
    scans = scans_of(data)
    last = data[scans[-1] :]
    most = data + last * (MAX_SCANS - len(scans))
    behind_the_end = decode(most + EOI + last * 200, LIMIT, "image")
    assert (behind_the_end == decode(most + EOI, LIMIT, "image")).all()
    with pytest.raises(UnsupportedFormat, match="more than 100 scans"):
        decode(most + last + EOI, LIMIT, "image")


def test_a_jpeg_with_too_many_segments_is_refused() -> None:
    data = encoded("JPEG", quality=95)
    empty = b"\xff\xe1\x00\x02"
    few = data[:2] + empty * (MAX_SEGMENTS - 100) + data[2:]
    assert decode(few, LIMIT, "image").shape == (*SIZE[::-1], 3)
    with pytest.raises(TruncatedImage, match="more than 10000 segments"):
        decode(data[:2] + empty * MAX_SEGMENTS + data[2:], LIMIT, "image")


def test_a_second_header_of_a_png_is_refused() -> None:
    """Its size would replace the one that was checked."""
    data = png_rows(3, 3)
    second = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 500, 500, 8, 2, 0, 0, 0))
    with pytest.raises(TruncatedImage, match="two headers"):
        decode(data[:33] + second + data[33:], LIMIT, "image")


def test_the_first_palette_of_a_png_counts() -> None:
    out = io.BytesIO()
    scene().quantize(8).save(out, "PNG")
    data = out.getvalue()
    at = data.index(b"IDAT") - 4
    again = png_chunk(b"PLTE", bytes(24))
    assert (decode(data[:at] + again + data[at:], LIMIT, "image") == decode(data, LIMIT, "image")).all()


def png_rows(rows: int, height: int, *, interlaced: bool = False, complete: bool = True) -> bytes:
    """Return a PNG of noise, 20 pixels wide, whose data has only some of its rows."""
    header = struct.pack(">IIBBBBB", 20, height, 8, 2, 0, 0, int(interlaced))
    noise = np.random.default_rng(0).integers(1, 256, (rows, 60), np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in noise)
    stream = zlib.compress(raw)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", stream if complete else stream[:-8])
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("complete", [True, False])
def test_a_png_may_lack_a_few_rows_and_no_more(complete: bool) -> None:
    most = 300 - MAX_MISSING_ROWS + (0 if complete else 2)  # the end of the stream has up to two rows
    found = decode(png_rows(most, 300, complete=complete), LIMIT, "image")
    assert found.shape == (300, 20, 3)
    assert found[: most - 1].all()
    with pytest.raises(TruncatedImage, match="of 300 rows are missing"):
        decode(png_rows(100, 300, complete=complete), LIMIT, "image")


def test_a_png_with_a_wrong_checksum_of_its_stream_is_read() -> None:
    data = png_rows(50, 50)
    at = data.index(b"IEND") - 12
    assert decode(data[:at] + b"\0\0\0\0" + data[at + 4 :], LIMIT, "image").all()


@pytest.mark.parametrize("width", [1, 3, 20])
@pytest.mark.parametrize("height", [1, 2, 5, 30])
def test_the_rows_of_an_interlaced_png_add_up(width: int, height: int) -> None:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    file = png.read(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b""))
    assert sum(size - 1 for size in file.row_bytes()) == 3 * width * height


def test_an_interlaced_png_that_lacks_rows_is_refused() -> None:
    with pytest.raises(TruncatedImage, match="rows are missing"):
        decode(png_rows(3, 30, interlaced=True), LIMIT, "image")


@pytest.mark.parametrize(
    ("marker", "precision", "name"),
    [
        (0xC1, 12, "12 bits"),
        (0xC3, 8, "lossless"),
        (0xC7, 8, "lossless"),
        (0xC5, 8, "hierarchical"),
        (0xF7, 8, "JPEG-LS"),
    ],
)
def test_variants_of_jpeg_that_are_not_supported_are_named(marker: int, precision: int, name: str) -> None:
    data = encoded("JPEG")
    at = data.index(b"\xff\xc0")
    data = data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + bytes([precision]) + data[at + 5 :]
    with pytest.raises(UnsupportedFormat, match=name):
        decode(data, LIMIT, "image")


def test_a_bmp_whose_alpha_is_zero_everywhere_is_opaque() -> None:
    image = scene().convert("RGBA")
    pixels = np.asarray(image).copy()
    header = struct.pack("<IiiHHIIiiII", 124, *SIZE, 1, 32, 3, 0, 0, 0, 0, 0)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(64)

    def bmp(alpha: int) -> bytes:
        pixels[..., 3] = alpha
        body = np.ascontiguousarray(pixels[::-1, :, [2, 1, 0, 3]]).tobytes()
        return b"BM" + struct.pack("<IHHI", 138 + len(body), 0, 0, 138) + header + masks + body

    for alpha in (0, 255):
        assert (decode(bmp(alpha), LIMIT, "image") == np.asarray(scene())).all()
