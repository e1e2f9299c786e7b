"""Folders for input and output: local ones, and those of object stores.

A file is put whole or not at all: under a temporary name that is then changed in a local folder, as one
object in an object store.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from app.bulk.errors import BadInput, BulkError

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_TEMPORARY = ".writing-"


class Store(Protocol):
    """A folder that files are written to. Names are relative to it, with `/` between their parts."""

    def files(self, folder: str) -> dict[str, int]:
        """Return the sizes of the files in a subfolder by name; none if there is no such folder."""

    def open(self, name: str) -> BinaryIO:
        """Open a file.

        Raises:
            OSError: it cannot be read.
        """

    def put(self, name: str, data: bytes) -> None:
        """Write a file as a whole; an existing one is replaced.

        Raises:
            OSError: it cannot be written.
        """

    def locked(self) -> AbstractContextManager[None]:
        """Return a context in which no other run writes to the store, if the store supports it.

        Raises:
            BulkError: another run writes to it.
        """


def open_store(location: str) -> Store:
    """Return the store of an absolute path or a URI.

    Raises:
        BadInput: the URI is not valid, or a package for its scheme is missing.
    """
    return ArrowStore(*open_uri(location)) if is_uri(location) else LocalStore(Path(location))


def is_uri(text: str) -> bool:
    """Return whether a text is a URI such as `s3://bucket/folder`, not a path."""
    return _URI.match(text) is not None


def absolute(location: str) -> str:
    """Return a path as an absolute one, also that of a `file:` URI; another URI stays as it is.

    Raises:
        BadInput: it is empty.
    """
    if not location:
        raise BadInput("The name of a file or folder is empty. Name a path or a URI.")
    if location.lower().startswith("file://"):
        location = unquote(urlsplit(location).path)
    return location if is_uri(location) else os.path.join(os.getcwd(), Path(location))


def open_uri(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a URI, and the path in it. The path of a URI is taken as it is, not decoded.

    Raises:
        BadInput: the URI is not valid, or a package for its scheme is missing.
    """
    location, sign, query = uri.partition("?")
    scheme, _, rest = location.partition("://")
    bucket, _, path = rest.partition("/")
    system, root = _open_bucket(f"{scheme}://{bucket}{sign}{query}")
    return system, f"{root.rstrip('/')}/{path}".rstrip("/") or root


@lru_cache(64)
def _open_bucket(uri: str) -> tuple[fs.FileSystem, str]:
    try:
        try:
            system, path = fs.FileSystem.from_uri(uri)
        except pa.ArrowInvalid as error:
            if "Unrecognized filesystem type" not in str(error):
                raise
            import fsspec

            found, path = fsspec.core.url_to_fs(uri)
            system = fs.PyFileSystem(fs.FSSpecHandler(found))
    except (ValueError, ImportError, OSError) as error:
        raise BadInput(f"The URI {uri} cannot be opened: {' '.join(str(error).split())}.") from error
    return system, path


class LocalStore:
    """A local folder, which is created by its lock or by the first file that is put.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self, folder: str) -> dict[str, int]:
        """Return the sizes of the files in a subfolder by name, without temporary ones."""
        with suppress(FileNotFoundError), os.scandir(self._folder / folder) as entries:
            return {
                entry.name: entry.stat().st_size for entry in entries if not entry.name.startswith(_TEMPORARY)
            }
        return {}

    def open(self, name: str) -> BinaryIO:
        """Return an open file."""
        return open(self._folder / name, "rb")

    def put(self, name: str, data: bytes) -> None:
        """Write a file under a temporary name, and change its name when it is on the disk."""
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder with `flock`, and remove what killed runs have left.

        Yields:
            None.

        Raises:
            BulkError: another run has locked it.
        """
        lock = self._folder / "_facet" / "lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with open(lock, "wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BulkError(
                    f"Another `facet bulk` writes to {self._folder}. Wait until it ends, or name another "
                    "OUTPUT."
                ) from None
            except OSError:
                pass  # a file system without locks
            for folder in (self._folder, self._folder / "_facet"):
                for entry in folder.glob(f"{_TEMPORARY}*"):
                    entry.unlink(missing_ok=True)
            yield


class ArrowStore:
    """A folder of an object store.

    Args:
        system: the file system.
        folder: path of the folder in it.
    """

    def __init__(self, system: fs.FileSystem, folder: str) -> None:
        self._system = system
        self._folder = folder.rstrip("/")

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}" if name else self._folder

    def files(self, folder: str) -> dict[str, int]:
        """Return the sizes of the objects directly in a folder by name."""
        found = self._system.get_file_info(fs.FileSelector(self._path(folder), allow_not_found=True))
        return {info.base_name: info.size for info in found if info.type == fs.FileType.File}

    def open(self, name: str) -> BinaryIO:
        """Return an open object."""
        return self._system.open_input_file(self._path(name))

    def put(self, name: str, data: bytes) -> None:
        """Write an object. It exists when its upload is complete."""
        with self._system.open_output_stream(self._path(name)) as file:
            file.write(data)

    def locked(self) -> AbstractContextManager[None]:
        """Return a context that does nothing: object stores have no locks."""
        return nullcontext()
