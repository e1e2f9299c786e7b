import io
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pil
from PIL import ImageOps

from app.errors import (
    BadImage,
    BadParameter,
    NotAnImage,
    TooManyPixels,
    TruncatedImage,
    UnsupportedFormat,
)
from app.vision.formats.exif import orientation
from app.vision.image import decode, encode

PHOTO = Path("tests/photos/obama.jpg")
LIMIT = 10_000_000


def scene() -> Pil.Image:
    """A small picture whose every corner differs: 40 wide, 30 high."""
    x, y = np.meshgrid(np.linspace(0, 255, 40), np.linspace(0, 255, 30))
    return Pil.fromarray(np.stack([x, y, (x + 255 - y) / 2], axis=2).astype(np.uint8))


def written(image: Pil.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand: kinds that Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    between = b"".join(chunk(*c) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + header + between + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


WAYS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "BMP": {},
    "GIF": {},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


class TestFormats:
    @pytest.mark.parametrize(
        ("format", "most"), [("JPEG", 3), ("PNG", 0), ("WEBP", 0), ("BMP", 0), ("GIF", 20), ("AVIF", 3)]
    )
    def test_pixels_come_out(self, format: str, most: int) -> None:
        image = scene()
        found = decode(written(image, format, **WAYS[format]), LIMIT, "image")
        assert found.shape == (30, 40, 3)
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert found.flags.writeable
        assert np.abs(found.astype(int) - np.asarray(image)).max() <= most

    @pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 2}, {"optimize": True}])
    def test_kinds_of_jpeg(self, options: dict[str, Any]) -> None:
        found = decode(written(scene(), "JPEG", quality=95, **options), LIMIT, "image")
        assert np.abs(found.astype(int) - np.asarray(scene())).mean() < 4

    def test_lossy_webp(self) -> None:
        found = decode(written(scene(), "WEBP", quality=95), LIMIT, "image")
        assert np.abs(found.astype(int) - np.asarray(scene())).mean() < 6

    def test_the_first_frame_of_animations(self) -> None:
        frames = [Pil.new("RGB", (12, 8), colour) for colour in ("red", "green", "blue")]
        for format in ("GIF", "WEBP", "PNG"):
            lossless = {"lossless": True} if format == "WEBP" else {}
            data = written(frames[0], format, save_all=True, append_images=frames[1:], **lossless)
            assert (decode(data, LIMIT, "image") == [255, 0, 0]).all(), format

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "GIF"])
    def test_grey(self, format: str) -> None:
        grey = scene().convert("L")
        found = decode(written(grey, format, **(WAYS[format] if format == "JPEG" else {})), LIMIT, "image")
        assert (found[..., 0] == found[..., 1]).all()
        assert (found[..., 0] == found[..., 2]).all()
        assert np.abs(found[..., 0].astype(int) - np.asarray(grey)).max() <= 2

    @pytest.mark.parametrize("format", ["PNG", "BMP", "GIF"])
    def test_black_and_white(self, format: str) -> None:
        flat = Pil.fromarray(np.eye(9, dtype=bool))
        assert (decode(written(flat, format), LIMIT, "image")[..., 1] == np.eye(9) * 255).all()

    def test_palette(self) -> None:
        palette = scene().quantize(16)
        found = decode(written(palette, "PNG"), LIMIT, "image")
        assert (found == np.asarray(palette.convert("RGB"))).all()

    def test_one_pixel(self) -> None:
        assert decode(written(Pil.new("RGB", (1, 1), "red"), "PNG"), LIMIT, "image").tolist() == [
            [[255, 0, 0]]
        ]


class TestDepth:
    def test_16_bit_grey_keeps_its_high_byte(self) -> None:
        deep = np.array([[0, 255, 256, 0x7FFF], [0x8000, 0x1234, 0xFEFF, 0xFFFF]], np.uint16)
        found = decode(written(Pil.fromarray(deep), "PNG"), LIMIT, "image")
        assert (found == (deep >> 8).astype(np.uint8)[..., None]).all()

    def test_16_bit_colour(self) -> None:
        deep = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), np.uint16)
        _, data = cv2.imencode(".png", deep)
        found = decode(data.tobytes(), LIMIT, "image")
        assert (found == (deep[..., ::-1] >> 8)).all()

    @pytest.mark.parametrize(("depth", "byte", "clear"), [(2, 0b00011011, 2), (4, 0x5A, 10)])
    def test_a_transparent_shade_of_few_bits_becomes_white(self, depth: int, byte: int, clear: int) -> None:
        width = 8 // depth
        data = png(width, 1, depth, 0, bytes([0, byte]), (b"tRNS", struct.pack(">H", clear)))
        top = (1 << depth) - 1
        values = [byte >> (8 - depth * (i + 1)) & top for i in range(width)]
        expected = [255 if v == clear else v * 255 // top for v in values]
        assert clear in values
        assert decode(data, LIMIT, "image")[0, :, 0].tolist() == expected

    def test_a_transparent_shade_of_16_bits_becomes_white(self) -> None:
        deep = struct.pack(">3H", 0x1234, 0x1235, 0x8000)
        data = png(3, 1, 16, 0, b"\0" + deep, (b"tRNS", struct.pack(">H", 0x1234)))
        assert decode(data, LIMIT, "image")[0, :, 0].tolist() == [255, 0x12, 0x80]

    def test_a_transparent_colour_of_16_bits_becomes_white(self) -> None:
        row = struct.pack(">6H", 0x1200, 0x3400, 0x5600, 0x8000, 0x1000, 0x2000)
        data = png(2, 1, 16, 2, b"\0" + row, (b"tRNS", struct.pack(">3H", 0x1200, 0x3400, 0x5600)))
        assert decode(data, LIMIT, "image")[0].tolist() == [[255, 255, 255], [0x80, 0x10, 0x20]]


class TestAlpha:
    @pytest.mark.parametrize("format", ["PNG", "WEBP"])
    def test_alpha_lies_over_white(self, format: str) -> None:
        image = Pil.new("RGBA", (3, 1), (100, 0, 200, 255))
        image.putpixel((1, 0), (100, 0, 200, 0))
        image.putpixel((2, 0), (100, 0, 200, 51))
        options = {"lossless": True, "exact": True} if format == "WEBP" else {}
        found = decode(written(image, format, **options), LIMIT, "image")[0].tolist()
        assert found == [[100, 0, 200], [255, 255, 255], [224, 204, 244]]

    def test_grey_with_alpha(self) -> None:
        image = Pil.new("LA", (2, 1), (0, 255))
        image.putpixel((1, 0), (0, 0))
        assert decode(written(image, "PNG"), LIMIT, "image")[0, :, 0].tolist() == [0, 255]

    @pytest.mark.parametrize("format", ["PNG", "GIF"])
    def test_a_transparent_palette_entry(self, format: str) -> None:
        image = Pil.new("P", (2, 1))
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.putpixel((1, 0), 1)
        found = decode(written(image, format, transparency=1), LIMIT, "image")[0].tolist()
        assert found == [[10, 20, 30], [255, 255, 255]]

    def test_palette_with_many_alphas(self) -> None:
        image = Pil.new("P", (2, 1))
        image.putpalette([0, 0, 0, 0, 0, 0])
        image.putpixel((1, 0), 1)
        found = decode(written(image, "PNG", transparency=bytes([255, 51])), LIMIT, "image")[0].tolist()
        assert found == [[0, 0, 0], [204, 204, 204]]

    def test_a_transparent_colour(self) -> None:
        image = Pil.new("RGB", (2, 1), (1, 2, 3))
        image.putpixel((1, 0), (9, 9, 9))
        data = written(image, "PNG", transparency=(1, 2, 3))
        assert decode(data, LIMIT, "image")[0].tolist() == [[255, 255, 255], [9, 9, 9]]


class TestInk:
    def test_cmyk(self) -> None:
        data = written(scene().convert("CMYK"), "JPEG", quality=98)
        assert np.abs(decode(data, LIMIT, "image").astype(int) - np.asarray(scene())).max() <= 4

    def test_ycck(self) -> None:
        """Made of a CMYK file: the samples written as YCC, and Adobe's marker changed to say so."""
        image = scene()
        ink = np.asarray(image.convert("CMYK"))
        ycc = np.asarray(Pil.fromarray(ink[..., :3].copy()).convert("YCbCr"))
        stored = np.dstack([ycc, 255 - ink[..., 3]])
        bands = [Pil.fromarray(np.ascontiguousarray(255 - stored[..., i])) for i in range(4)]
        data = written(Pil.merge("CMYK", bands), "JPEG", quality=100)
        marker = data.index(b"Adobe")
        assert data[marker + 11] == 0
        data = data[: marker + 11] + b"\x02" + data[marker + 12 :]
        assert np.abs(decode(data, LIMIT, "image").astype(int) - np.asarray(image)).max() <= 6


class TestOrientation:
    @pytest.mark.parametrize("turn", range(1, 9))
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
    def test_all_eight(self, format: str, turn: int) -> None:
        exif = Pil.Exif()
        exif[0x0112] = turn
        data = written(scene(), format, exif=exif, **WAYS[format])
        with Pil.open(io.BytesIO(data)) as opened:
            expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        found = decode(data, LIMIT, "image")
        assert found.shape[:2] == ((30, 40) if turn < 5 else (40, 30))
        assert (found == expected).all()
        assert found.flags.c_contiguous

    def test_big_and_little_endian(self) -> None:
        entry = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
        assert orientation(b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry) == 6
        entry = struct.pack("<HHIHH", 0x0112, 3, 1, 8, 0)
        assert orientation(b"II*\0\x08\0\0\0\x01\0" + entry) == 8

    @given(st.binary(max_size=80), st.sampled_from([b"", b"Exif\0\0", b"II*\0\x08\0\0\0", b"Exif\0\0MM\0*"]))
    def test_malformed_exif_is_upright(self, tail: bytes, head: bytes) -> None:
        assert 1 <= orientation(head + tail) <= 8

    @pytest.mark.parametrize(
        "exif",
        [
            b"Exif\0\0",
            b"Exif\0\0garbage and more garbage",
            b"Exif\0\0II*\0\xff\xff\xff\xff",
            b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
            b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 99, 0),
            b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x011A, 5, 1, 9, 9),
        ],
    )
    def test_a_jpeg_with_malformed_exif_is_read(self, exif: bytes) -> None:
        data = written(scene(), "JPEG", exif=exif)
        without_jfif = (
            data[:2] + data[data.index(b"\xff\xe1") :]
        )  # as cameras write: no resolution but EXIF's
        for kind in (data, without_jfif):
            assert decode(kind, LIMIT, "image").shape == (30, 40, 3)


class TestLimit:
    def test_at_the_limit_and_over_it(self) -> None:
        for format in WAYS:
            data = written(scene(), format, **WAYS[format])
            assert decode(data, 1200, "image").shape == (30, 40, 3)
            with pytest.raises(TooManyPixels, match=r"40 x 30 .* at most 1199") as caught:
                decode(data, 1199, "image_b")
            assert caught.value.field == "image_b"

    def test_the_picture_may_be_large_when_the_limit_is(self) -> None:
        """Pillow's guard, from 89 million pixels on, says nothing in our place."""
        data = written(Pil.new("1", (10_000, 9_000)), "PNG")[:-40]
        with pytest.raises(TruncatedImage) as caught:
            decode(data, 100_000_000, "image")
        assert "bomb" not in caught.value.detail

    def test_nothing_is_allocated_for_a_huge_picture(self) -> None:
        """Under a memory limit, files that claim 60000 x 60000 pixels or their format's most are refused."""
        code = """
import resource, sys
sys.path.insert(0, ".")
from app.errors import TooManyPixels
from app.vision.image import decode
from tests.vision.test_image import huge
files = huge()
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (100 << 20),) * 2)
for name, data in files.items():
    try:
        decode(data, 50_000_000, "image")
    except TooManyPixels:
        print(name)
"""
        if not Path("/proc/self/statm").exists():
            pytest.skip("needs Linux's /proc")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert done.stdout.split() == list(huge()), done.stderr


def huge() -> dict[str, bytes]:
    """Small files whose headers claim huge pictures."""
    side = struct.pack("<HH", 60000, 60000)
    jpeg = written(scene(), "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    gif = written(scene(), "GIF")
    frame = gif.index(b",", 13 + (3 << (gif[10] & 7) + 1))
    cleared = b"!\xf9\x04\x09\0\0\0\0"  # a frame that is disposed of to the background
    bmp = written(scene(), "BMP")
    lossy, lossless = written(scene(), "WEBP"), written(scene(), "WEBP", lossless=True)
    sync = lossy.index(b"\x9d\x01\x2a") + 3
    start = lossless.index(b"VP8L") + 9
    bits = struct.pack("<I", 0x3FFF | 0x3FFF << 14)
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + b"\xff\xff\0" + b"\xff\xff\0" + lossy[12:]
    return {
        "png": png(60000, 60000, 8, 2, b""),
        "jpeg": jpeg[:at] + struct.pack(">HH", 60000, 60000) + jpeg[at + 4 :],
        "gif-screen": gif[:6] + side + gif[10:],
        "gif-frame": gif[: frame + 5] + side + gif[frame + 9 :],
        "gif-disposed": gif[:frame] + cleared + gif[frame : frame + 5] + side + gif[frame + 9 :],
        "bmp": bmp[:18] + struct.pack("<ii", 60000, 60000) + bmp[26:],
        "webp-lossy": lossy[:sync] + struct.pack("<HH", 16383, 16383) + lossy[sync + 4 :],
        "webp-lossless": lossless[:start] + bits + lossless[start + 4 :],
        "webp-extended": b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended,
    }


class TestBroken:
    @pytest.mark.parametrize("format", WAYS)
    @pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
    def test_truncated(self, format: str, part: float) -> None:
        data = written(scene().resize((200, 150)), format, **WAYS[format])
        with pytest.raises(TruncatedImage, match="damaged or incomplete") as caught:
            decode(data[: int(len(data) * part)], LIMIT, "image_a")
        assert caught.value.field == "image_a"

    @pytest.mark.parametrize("format", WAYS)
    def test_only_the_signature(self, format: str) -> None:
        data = written(scene(), format, **WAYS[format])[: 18 if format == "BMP" else 12]
        with pytest.raises(TruncatedImage):
            decode(data, LIMIT, "image")

    def test_a_real_photograph_cut_in_half(self) -> None:
        data = PHOTO.read_bytes()
        with pytest.raises(TruncatedImage, match="JPEG"):
            decode(data[: len(data) // 2], LIMIT, "image")

    def test_no_bytes(self) -> None:
        with pytest.raises(NotAnImage, match="empty"):
            decode(b"", LIMIT, "image")

    @pytest.mark.parametrize(
        "data", [b"hello", b"<html></html>", b"\0" * 64, b'{"a": 1}', b"BM is no bitmap"]
    )
    def test_not_an_image(self, data: bytes) -> None:
        with pytest.raises(NotAnImage, match="not an image of a known format"):
            decode(data, LIMIT, "image")

    @pytest.mark.parametrize("format", ["TIFF", "ICO", "JPEG2000", "PDF", "PPM", "DDS", "SGI", "PSD"])
    def test_formats_that_are_not_read(self, format: str) -> None:
        data = b"8BPS\0\1" if format == "PSD" else written(scene(), format)
        with pytest.raises(UnsupportedFormat, match="JPEG, PNG, WebP, BMP, GIF"):
            decode(data, LIMIT, "image")

    @pytest.mark.parametrize("format", WAYS)
    def test_damage_never_surprises(self, format: str) -> None:
        data = written(scene(), format, **WAYS[format])

        @given(
            st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), min_size=1, max_size=6)
        )
        def check(changes: list[tuple[int, int]]) -> None:
            damaged = bytearray(data)
            for place, value in changes:
                damaged[place] = value
            with suppress(BadImage):
                assert decode(bytes(damaged), 100_000, "image").dtype == np.uint8

        check()


class TestEncode:
    def test_png_gives_the_same_pixels_back(self) -> None:
        image = np.asarray(scene())
        assert (decode(encode(image, "png"), LIMIT, "image") == image).all()

    def test_jpeg_gives_nearly_the_same(self) -> None:
        image = np.asarray(scene())
        data = encode(image, "jpeg")
        assert data.startswith(b"\xff\xd8\xff")
        assert np.abs(decode(data, LIMIT, "image").astype(int) - image).mean() < 4

    def test_a_jpeg_has_a_longest_side(self) -> None:
        wide = np.zeros((1, 65_501, 3), np.uint8)
        with pytest.raises(BadParameter, match="image/png"):
            encode(wide, "jpeg")
        assert encode(wide, "png")
        assert encode(wide[:, 1:], "jpeg")

    @pytest.mark.parametrize("shape", [(1, 1_000_001, 3), (1_000_001, 1, 3)])
    def test_a_png_has_a_longest_side_too(self, shape: tuple[int, int, int]) -> None:
        strip = np.zeros(shape, np.uint8)
        for format in ("png", "jpeg"):
            with pytest.raises(BadParameter, match="application/json") as caught:
                encode(strip, format)
            assert caught.value.field == "accept"
        assert encode(strip[:1_000_000, :1_000_000], "png")
