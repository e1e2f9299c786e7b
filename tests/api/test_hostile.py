"""Files that are damaged, cut off, disguised or far larger than they look are refused; no more happens."""

import io
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from functools import cache

import httpx
import numpy as np
import pytest
from PIL import Image as Pil

from app.errors import BadImage
from app.vision.image import decode
from tests.api.pictures import picture, sentence
from tests.servers import until

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
ANSWERS = (200, 413, 415, 422)

JPEG = {"content-type": "image/jpeg"}


def damaged(data: bytes, random: random.Random) -> bytes:
    """The file cut off, with bytes changed, a piece taken out or doubled, or a number made extreme."""
    out = bytearray(data)
    place, length = random.randrange(len(out)), random.randint(1, 40)
    match random.randrange(5):
        case 0:
            return bytes(out[:place])
        case 1:
            for _ in range(length):
                out[random.randrange(len(out))] = random.randrange(256)
        case 2:
            del out[place : place + length]
        case 3:
            out[place:place] = out[place : place + 20 * length]
        case _:
            head = random.randrange(min(60, len(out)))
            out[head : head + 4] = random.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
    return bytes(out)


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_are_decoded_or_refused(format: str) -> None:
    """Whatever the decoder raises within is a BadImage."""
    data, seed = picture(90, 60, format=format), random.Random(format)
    details = []
    for _ in range(200):
        try:
            image = decode(damaged(data, seed), 600_000, "image")
        except BadImage as error:
            details.append(error.detail)
        else:
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.shape[2] == 3
            assert 0 < image.shape[0] * image.shape[1] <= 600_000
    assert 0 < len(details) < 200
    for detail in details:
        sentence(detail)
        assert len(detail) < 800


@pytest.mark.parametrize("format", FORMATS)
def test_fifty_damaged_files(client: httpx.Client, format: str) -> None:
    data, seed = picture(90, 60, format=format), random.Random(format)
    seen = set()
    for i in range(50):
        response = client.post("/detect", content=damaged(data, seed), headers=JPEG)
        assert response.status_code in ANSWERS, (format, i, response.text)
        if response.status_code != 200:
            assert response.headers["content-type"] == "application/problem+json"
            assert len(response.text) < 1000
        seen.add(response.status_code)
    assert 422 in seen
    assert client.get("/readyz").status_code == 200


@cache
def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb", bytes(10_000_000))
    return out.getvalue()


SCRIPT = b"<html><script>alert(1)</script></html>"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("tail", [archive(), SCRIPT, b"%PDF-1.7\n", b"#!/bin/sh\nreboot\n"])
def test_a_picture_that_is_something_else_as_well(client: httpx.Client, format: str, tail: bytes) -> None:
    """It is looked at as a picture, and nothing of it is given back but pixels, decoded and drawn on."""
    data = picture(90, 60, format=format) + tail
    plain = client.post("/detect", content=data, headers=JPEG)
    assert len(plain.json()["faces"]) == 2
    drawn = client.post("/detect", content=data, headers={**JPEG, "accept": "image/png"})
    assert drawn.headers["content-type"] == "image/png"
    assert drawn.headers["x-content-type-options"] == "nosniff"
    assert tail not in drawn.content


@pytest.mark.parametrize("front", [archive(), SCRIPT, b"%PDF-1.7\n", b"GIF89a/*", b"\x89PNG\r\n\x1a\n"])
def test_something_else_that_is_a_picture_as_well(client: httpx.Client, front: bytes) -> None:
    response = client.post("/detect", content=front + picture(), headers=JPEG)
    assert response.status_code in (413, 415, 422)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes, rows: bytes | None = None) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compress(bytes((width + 1) * height), 9) if rows is None else rows
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@cache
def bombs() -> dict[str, bytes]:
    zeros = zlib.compress(bytes(100_000_000), 9)  # 97 kB
    frames = io.BytesIO()
    Pil.new("L", (500, 500)).save(
        frames, "GIF", save_all=True, append_images=[Pil.new("L", (500, 500), i % 255) for i in range(1, 200)]
    )
    return {
        "more data than pixels": png(10, 10, rows=zeros),
        "a compressed text": png(10, 10, chunk(b"zTXt", b"a\0\0" + zeros)),
        "a compressed profile": png(10, 10, chunk(b"iCCP", b"a\0\0" + zeros)),
        "many texts": png(10, 10, *[chunk(b"tEXt", b"a\0" + bytes(1000))] * 150),
        "a header that lies": png(60_000, 60_000, rows=b""),
        "a side of four thousand million": png(2**31 - 1, 2**31 - 1, rows=b""),
        "frames": frames.getvalue(),
    }


@pytest.mark.parametrize("name", bombs())
def test_bombs(client: httpx.Client, name: str) -> None:
    data = bombs()[name]
    assert len(data) < 200_000
    response = client.post("/detect", content=data, headers=JPEG)
    assert response.status_code in ANSWERS
    assert client.get("/readyz").status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_memory_is_bounded_whatever_comes() -> None:
    """Bombs, and bodies that would become forty times as large, in a process that may not grow."""
    program = (
        "import base64, resource\n"
        "from app.api import json_body\n"
        "from app.api.fields import Fields\n"
        "from app.errors import FacetError\n"
        "from app.vision.image import decode\n"
        "from tests.api.test_hostile import bombs, texts\n"
        "made = [*bombs().values()], texts()\n"
        "with open('/proc/self/statm') as file: now = int(file.read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 250_000_000,) * 2)\n"
        "for data in made[0]:\n"
        "    try: decode(data, 600_000, 'image')\n"
        "    except FacetError: pass\n"
        "for text in made[1]:\n"
        "    try: json_body.parse(text, Fields(('image',), (), '/embed', boxes=True))\n"
        "    except FacetError: pass\n"
        "    try: json_body.parse_boxes(text)\n"
        "    except FacetError: pass\n"
        "print('bounded')\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240)
    assert run.stdout == "bounded\n", run.stderr


def texts() -> list[bytes]:
    """JSON of ten megabytes."""
    return [
        b'{"image": "", "boxes": [' + b"{}," * 3_300_000 + b"{}]}",
        b'{"image": "", "boxes": [' + b"[]," * 3_300_000 + b"[]]}",
        b'{"image": "", "boxes": [' + b"0," * 5_000_000 + b"0]}",
        b'{"image": "' + b"A " * 5_000_000 + b'"}',
        b'{"image": ' + b"1" * 10_000_000 + b"}",
        b"[" * 10_000_000,
        b'{"image": "' + b"\\u0041" * 1_600_000 + b'"}',
        b'{"image": "A' + b" " * 10_000_000 + b'A"}',
        b'{"image": "' + b"%2b" * 3_300_000 + b'"}',
        b'{"image": "' + b"A" * 5_000_000 + b"=" * 5_000_000 + b'A"}',
        b"{" + b'"image":"",' * 200_000 + b'"image":""}',
    ]


@pytest.mark.parametrize(
    "value", ["file:///etc/passwd", "http://127.0.0.1:1/x.jpg", "/etc/passwd", "data:,x"]
)
def test_no_path_and_no_address_is_ever_opened(client: httpx.Client, value: str) -> None:
    for response in (
        client.post("/detect", json={"image": value}),
        client.post("/detect", files={"image": value.encode()}),
        client.post("/detect", content=value.encode(), headers=JPEG),
    ):
        assert response.status_code in (415, 422)
        assert "root:" not in response.text


def test_a_burst_of_everything_leaves_it_ready(client: httpx.Client) -> None:
    for data in bombs().values():
        client.post("/detect", content=data, headers=JPEG)
    until(lambda: client.get("/readyz").status_code == 200)
    assert len(client.post("/detect", content=picture(), headers=JPEG).json()["faces"]) == 2
