"""Folders for tests of the command line."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from tests.api.pictures import picture

APPLE_DOUBLE = bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(100)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
TIFF = b"II*\0" + bytes(100)

INVALID_NAME = os.fsdecode(b"caf\xe9.jpg")
"""A file name that is not valid UTF-8."""


def tree(root: Path, extra: Mapping[str, bytes] = MappingProxyType({})) -> Path:
    """Write two images and further files, by their paths, into a folder and return it."""
    for name, data in {"a.jpg": picture(), "b.png": picture(format="PNG"), **extra}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return root


@contextmanager
def without_permission(folder: Path, mode: int) -> Iterator[None]:
    """Give a folder this mode, and run as a user whom it binds, also if the tests run as root."""
    before, root = folder.stat().st_mode, os.geteuid() == 0
    folder.chmod(mode)
    if root:
        for parent in list(folder.parents)[:-2]:
            parent.chmod(0o755)
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(before)
