"""Find a CSV file in a folder and open it: plain, in a ZIP archive, or compressed with gzip.

The content decides how a file is opened, not its name, because browsers and sync clients rename files.
"""

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from training.data.datasets.label_text import BadLabelFile, open_bytes

SUFFIXES = (".csv", ".zip", ".csv.zip", ".csv.gz", ".gz")
"""Ends of the file's name, in order of preference. Upper and lower case are equal."""

ENCRYPTED = 0x1
"""The bit of a ZIP member's flags that says that it needs a password."""


def find(folder: Path, name: str) -> Path:
    """Return the file of a table.

    Args:
        folder: the folder that holds it.
        name: name of the table without a suffix. Its case matters only if files differ in nothing else.

    Raises:
        FileNotFoundError: the folder or the file does not exist.
        BadLabelFile: the folder is no folder, or several files have the name.
    """
    expected = f"{name}.csv or {name}.zip"
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist. It is the folder for {expected}.")
    if not folder.is_dir():
        raise BadLabelFile(folder, f"This is a file. A folder that holds {expected} is expected.")
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise BadLabelFile(folder, f"The folder cannot be read: {error.strerror}.") from error
    for suffix in SUFFIXES:
        wanted = f"{name}{suffix}"
        matches = [path for path in paths if path.name.lower() == wanted.lower()]
        exact = [path for path in matches if path.name == wanted]
        if len(exact or matches) > 1:
            listed = " and ".join(path.name for path in matches)
            raise BadLabelFile(folder, f"{listed} differ in case alone. Remove all but one.")
        if matches:
            return (exact or matches)[0]
    listed = ", ".join(path.name for path in paths[:9]) or "nothing"
    raise FileNotFoundError(f"{folder} holds neither {name}.csv nor {name}.zip. It holds: {listed}.")


@contextmanager
def open_packed(path: Path, name: str) -> Iterator[io.BufferedReader]:
    """Open a file, or the member `<name>.csv` of an archive, whichever its folder in the archive.

    Args:
        path: the file.
        name: name of the table without a suffix.

    Yields:
        The bytes of the table. An archive was read to its end before, so that its checksum is right.

    Raises:
        FileNotFoundError: there is no such file.
        BadLabelFile: the file cannot be read, or an archive is damaged, encrypted or lacks the member.
    """
    try:
        with open_bytes(path) as file:
            head = file.peek(4)
            if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                with zipfile.ZipFile(file) as archive, archive.open(_member(archive, path, name)) as member:
                    yield _intact(member)
            elif head.startswith(b"\x1f\x8b"):
                with gzip.open(file) as unpacked:
                    yield _intact(cast(IO[bytes], unpacked))
            elif path.suffix.lower() in (".zip", ".gz"):
                raise BadLabelFile(path, "This is no archive, or its beginning is missing. Get it again.")
            else:
                yield file
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        cause = f"The archive is damaged or incomplete ({error or 'it ends too early'}). Get it again."
        raise BadLabelFile(path, cause) from error
    except NotImplementedError as error:
        raise BadLabelFile(path, f"The archive cannot be unpacked ({error}). Unpack it first.") from error


def _intact(stream: IO[bytes]) -> io.BufferedReader:
    while stream.read(1 << 20):
        pass
    stream.seek(0)
    return io.BufferedReader(cast(io.RawIOBase, stream))  # all that it calls is there in any binary stream


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> zipfile.ZipInfo:
    # macOS adds a folder __MACOSX and files ._* with attributes of the files.
    files = [
        info
        for info in archive.infolist()
        if not info.is_dir() and not info.filename.startswith("__MACOSX/") and _base(info)[:2] != "._"
    ]
    matches = [info for info in files if _base(info).lower() == f"{name}.csv".lower()]
    if not matches:
        listed = ", ".join(info.filename for info in files[:9]) or "nothing"
        raise BadLabelFile(path, f"The archive does not hold {name}.csv. It holds: {listed}.")
    if len(matches) > 1:
        listed = ", ".join(info.filename for info in matches)
        raise BadLabelFile(
            path, f"The archive holds {name}.csv several times: {listed}. Unpack the right one."
        )
    if matches[0].flag_bits & ENCRYPTED:
        raise BadLabelFile(path, f"{matches[0].filename} is encrypted. Unpack it with its password first.")
    return matches[0]


def _base(info: zipfile.ZipInfo) -> str:
    return PurePosixPath(info.filename.replace("\\", "/")).name
