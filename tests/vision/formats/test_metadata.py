"""Metadata, checksums and end markers never decide whether an image is read."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from numpy import ndarray
from PIL import Image as Pil
from PIL import ImageCms

from app.vision.image import decode

LIMIT = 1_000_000
SIZE = (120, 90)


def scene() -> Pil.Image:
    """An image in which every row and every column differs."""
    x, y = np.meshgrid(np.linspace(0, 255, SIZE[0]), np.linspace(0, 255, SIZE[1]))
    return Pil.fromarray(np.stack([x, y, (x + 255 - y) / 2], axis=2).astype(np.uint8))


def encoded(format: str, **options: object) -> bytes:
    out = io.BytesIO()
    scene().save(out, format, **options)
    return out.getvalue()


def png_chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png_with(chunk: bytes, before: bytes = b"IDAT") -> bytes:
    data = encoded("PNG")
    at = data.index(before) - 4
    return data[:at] + chunk + data[at:]


def jpeg_with(segment: bytes) -> bytes:
    data = encoded("JPEG", quality=95)
    return data[:2] + segment + data[2:]


def jpeg_segment(marker: int, body: bytes, length: int | None = None) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2 if length is None else length) + body


def webp_with(kind: bytes, body: bytes) -> bytes:
    data = encoded("WEBP", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    chunk = kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(data) - 8 + len(chunk)) + data[8:] + chunk


def large_profile() -> bytes:
    """Return a valid colour profile of 1.5 MB that compresses badly."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(5).integers(0, 8, 1_500_000, np.uint8).tobytes()
    return struct.pack(">I", 1_500_000) + profile[4:] + noise[: 1_500_000 - len(profile)]


PNG = {
    "2 MB of compressed text": lambda: png_with(
        png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_100_000)))
    ),
    "text after the pixels": lambda: png_with(
        png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_100_000))), b"IEND"
    ),
    "compressed international text": lambda: png_with(
        png_chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(2_100_000)))
    ),
    "text that is not compressed data": lambda: png_with(png_chunk(b"zTXt", b"a\0\0nothing")),
    "text with a wrong checksum": lambda: png_with(png_chunk(b"tEXt", b"Comment\0hello", 0x12345678)),
    "a colour profile of 1.5 MB": lambda: png_with(
        png_chunk(b"iCCP", b"p\0\0" + zlib.compress(large_profile()))
    ),
    "a damaged colour profile": lambda: png_with(png_chunk(b"iCCP", b"p\0\0" + bytes(20))),
    "a colour profile with an unknown method": lambda: png_with(png_chunk(b"iCCP", b"p\0\7")),
    "short chromaticities": lambda: png_with(png_chunk(b"cHRM", bytes(31))),
    "a short gamma": lambda: png_with(png_chunk(b"gAMA", b"\0")),
    "a short resolution": lambda: png_with(png_chunk(b"pHYs", bytes(5))),
    "an empty rendering intent": lambda: png_with(png_chunk(b"sRGB", b"")),
    "a short time": lambda: png_with(png_chunk(b"tIME", b"\0")),
    "malformed EXIF data": lambda: png_with(png_chunk(b"eXIf", b"II*\0\xff\xff")),
    "an animation header without frames": lambda: png_with(png_chunk(b"acTL", bytes(8))),
    "a short animation header": lambda: png_with(png_chunk(b"acTL", b"\0")),
    "an unknown chunk": lambda: png_with(png_chunk(b"abCd", bytes(100))),
    "an unknown chunk with a wrong checksum": lambda: png_with(png_chunk(b"abCd", bytes(100), 1)),
    "no end chunk": lambda: encoded("PNG")[:-12],
    "half an end chunk": lambda: encoded("PNG")[:-6],
    "bytes after the end chunk": lambda: encoded("PNG") + b"tail" * 100,
}

JPEG = {
    "no end marker": lambda: encoded("JPEG", quality=95)[:-2],
    "half an end marker": lambda: encoded("JPEG", quality=95)[:-1],
    "bytes after the end marker": lambda: encoded("JPEG", quality=95) + b"tail" * 100,
    "a short JFIF segment": lambda: jpeg_with(jpeg_segment(0xE0, b"JFIF\0")),
    "an empty JFIF segment": lambda: jpeg_with(jpeg_segment(0xE0, b"")),
    "a short Adobe segment": lambda: jpeg_with(jpeg_segment(0xEE, b"Adobe")),
    "a short colour profile": lambda: jpeg_with(jpeg_segment(0xE2, b"ICC_PROFILE\0")),
    "a colour profile without its second part": lambda: jpeg_with(
        jpeg_segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(90))
    ),
    "a damaged Photoshop segment": lambda: jpeg_with(jpeg_segment(0xED, b"Photoshop 3.0\x008BIM\xff\xff")),
    "a damaged index of several images": lambda: jpeg_with(jpeg_segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff")),
    "EXIF data with a broken thumbnail": lambda: jpeg_with(
        jpeg_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0\xff\xff\xff\xff\xff\xd8\xff")
    ),
    "a comment of 64 kB": lambda: jpeg_with(jpeg_segment(0xFE, bytes(65_000))),
    "bytes between segments": lambda: jpeg_with(jpeg_segment(0xFE, b"") + b"\0\0\0"),
    "fill bytes before a segment": lambda: jpeg_with(b"\xff\xff\xff"),
}

WEBP = {
    "malformed EXIF data": lambda: webp_with(b"EXIF", b"II*\0\xff\xff"),
    "malformed XMP": lambda: webp_with(b"XMP ", b"\xff\xfe<"),
    "a damaged colour profile": lambda: webp_with(b"ICCP", b"\0"),
    "an unknown chunk": lambda: webp_with(b"JUNK", bytes(33)),
    "metadata that ends early": lambda: webp_with(b"EXIF", bytes(1000))[:-500],
    "a wrong file size": lambda: b"RIFF\xff\xff\0\0" + encoded("WEBP", lossless=True)[8:],
}

CASES = {
    f"{format}: {name}": make
    for format, table in (("PNG", PNG), ("JPEG", JPEG), ("WebP", WEBP))
    for name, make in table.items()
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_the_pixels_are_read(make: Callable[[], bytes]) -> None:
    found = decode(make(), LIMIT, "image")
    assert found.shape == (*SIZE[::-1], 3)
    assert np.abs(found.astype(int) - np.asarray(scene())).mean() < 2


def test_orientation_beside_malformed_metadata_counts() -> None:
    exif = Pil.Exif()
    exif[0x0112] = 6
    data = encoded("JPEG", exif=exif)
    data = data[:2] + jpeg_segment(0xE2, b"ICC_PROFILE\0") + jpeg_segment(0xE0, b"JFIF\0") + data[2:]
    assert decode(data, LIMIT, "image").shape == (*SIZE, 3)


def blank_bottom(format: str, colour: tuple[int, int, int]) -> tuple[bytes, ndarray]:
    image = scene()
    image.paste(colour, (0, 40, *SIZE))
    out = io.BytesIO()
    image.save(out, format, **({"quality": 98, "subsampling": 0} if format == "JPEG" else {}))
    return out.getvalue(), np.asarray(image)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (255, 255, 255)])
def test_a_plain_bottom_is_not_missing(format: str, colour: tuple[int, int, int]) -> None:
    data, image = blank_bottom(format, colour)
    for file in (data, data[:-2] if format == "JPEG" else data[:-12]):  # without the end marker too
        assert np.abs(decode(file, LIMIT, "image").astype(int) - image).max() < 12
