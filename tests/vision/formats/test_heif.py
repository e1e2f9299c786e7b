"""HEIC and AVIF images; HEIC needs the optional package pi-heif."""

import base64

import numpy as np
import pytest
from PIL import Image as Pil

from app.errors import TooManyPixels, TruncatedImage, UnsupportedFormat
from app.vision import image
from app.vision.file_types import identify
from app.vision.image import decode
from tests.vision.formats.test_metadata import LIMIT, encoded, scene

HEIC = base64.b64decode(
    b"AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAb5tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    b"ADRpbG9jAAAAAERAAAIAAQAAAAAB4gABAAAAAAAAAKIAAgAAAAAChAABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAA"
    b"AAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAA"
    b"kAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
    b"5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xh"
    b"cAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAA"
    b"ABppcmVmAAAAAAAAAA5jZHNjAAIAAQABAAAAzm1kYXQAAACeKAGvCeA+Dpwl4N/S1SjCD9Bmi7cV3I9yzq/Mf85IR9NyvtZuV1Yu"
    b"Uk/tbdGMbRSDVMVIwqWf1Caj4TdsnQvv6i6Nb6LdsRR8s3KvGjljpOdVUi8XAKsLqahwp0Cz/o53mWW2rRBEuE6380Zye+21f36E"
    b"VKscKGSLl0fcbf6UHzH7lLMbwVh5OkQ5xcTDE/DZmKTK5paSq71ZNFeapM4AAAAGRXhpZgAATU0AKgAAAAgAAQESAAMAAAABAAYA"
    b"AAAAAAA="
)
"""64 x 48 pixels: red grows to the right, green downwards."""


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(image._READERS, "HEIC", raising=False)
    with pytest.raises(UnsupportedFormat, match=r"HEIC.*pi-heif.*make heif"):
        decode(HEIC, LIMIT, "image")


def test_heic_is_read() -> None:
    pytest.importorskip("pi_heif")
    x, y = np.meshgrid(np.linspace(0, 255, 64), np.linspace(0, 255, 48))
    expected = np.stack([x, y, (x + 255 - y) / 2], axis=2)
    found = decode(HEIC, LIMIT, "image")
    assert found.shape == (48, 64, 3)
    assert np.abs(found - expected).mean() < 4
    with pytest.raises(TooManyPixels, match="64 x 48"):
        decode(HEIC, 64 * 48 - 1, "image")


@pytest.mark.parametrize("end", [30, 200, 500, len(HEIC) - 40])
def test_a_damaged_heic_is_refused(end: int) -> None:
    pytest.importorskip("pi_heif")
    with pytest.raises(TruncatedImage, match="HEIC"):
        decode(HEIC[:end], LIMIT, "image")


def test_avif_is_read_upright() -> None:
    exif = Pil.Exif()
    exif[0x0112] = 6
    found = decode(encoded("AVIF", quality=95, exif=exif), LIMIT, "image")
    upright = np.asarray(scene().transpose(Pil.Transpose.ROTATE_270))
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).mean() < 4


@pytest.mark.parametrize(
    ("brands", "name"),
    [
        (b"heic\0\0\0\0mif1heic", "HEIC"),
        (b"mif1\0\0\0\0mif1heic", "HEIC"),
        (b"mif1\0\0\0\0mif1avif", "AVIF"),
        (b"mif1\0\0\0\0mif1miaf", "HEIF"),
        (b"avif\0\0\0\0mif1avif", "AVIF"),
        (b"isom\0\0\0\0isommp42", "an MP4 or QuickTime video"),
    ],
)
def test_brands_name_the_format(brands: bytes, name: str) -> None:
    head = (8 + len(brands)).to_bytes(4) + b"ftyp" + brands
    assert identify(head + bytes(100)) == name
