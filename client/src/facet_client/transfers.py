"""Exports to files and imports from files, in chunks: a collection may be larger than the memory."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeAlias

from pydantic import ValidationError

from facet_client.calls import Retry
from facet_client.errors import UnexpectedAnswer
from facet_client.models.gallery import ExportSummary

File: TypeAlias = str | os.PathLike[str] | BinaryIO
"""The path of a file, or a binary file object."""

CHUNK_BYTES = 64 << 10

_LONGEST_END = 1024
"""Bytes at the end of an export that contain its last line."""


class ExportFile:
    """The file of an export. A path is replaced only by a complete export, which its owner alone can read.

    Args:
        target: path of the file, or a binary file object, which gets also the part of a failed export.
    """

    def __init__(self, target: File) -> None:
        self._path: Path | None = None
        self._part: Path | None = None
        self._tail = b""
        if isinstance(target, str | os.PathLike):
            self._path = Path(target)
            handle, name = tempfile.mkstemp(".part", ".facet-", self._path.parent)  # mode 0600
            self._part = Path(name)
            self._file: BinaryIO = os.fdopen(handle, "wb")
        else:
            self._file = target

    def __enter__(self) -> ExportFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._part is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Write the next bytes."""
        self._file.write(chunk)
        self._tail = (self._tail + chunk)[-_LONGEST_END:]

    def finish(self) -> ExportSummary:
        """Check that the export is complete, and put its file in its place.

        Returns:
            The numbers in the last line.

        Raises:
            UnexpectedAnswer: the export has no last line, so that it is incomplete.
            OSError: the file cannot be written.
        """
        try:
            summary = ExportSummary.model_validate_json(self._tail.rstrip(b"\n").rpartition(b"\n")[2])
        except ValidationError:
            raise UnexpectedAnswer(
                "The export ends before its last line. Export the collection again."
            ) from None
        self._file.flush()
        if self._path is not None and self._part is not None:
            self._file.close()
            check_target(self._path)
            self._part.replace(self._path)
        return summary


def check_target(target: File) -> None:
    """Check that an export can replace what is at its path: a regular file, or nothing.

    Args:
        target: path of the file, or a binary file object, which is not checked.

    Raises:
        OSError: it is a folder, a device, a pipe or a socket, or a link to one; or the path is invalid.
    """
    if not isinstance(target, str | os.PathLike):
        return
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        fault = "it is not a regular file; name another path, or pass a file object"
        raise OSError(errno.EINVAL, fault, os.fspath(target))


def chunks_of(source: File) -> tuple[Callable[[], Generator[bytes, None, None]], Retry]:
    """Return a function that yields the chunks of a file from its beginning, and when it can be sent again.

    Args:
        source: path of the file, or a binary file object, which is read from its current position.

    Returns:
        The function, and the cases in which an import is sent again.

    Raises:
        OSError: the file cannot be opened.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        path.open("rb").close()  # a file that cannot be read is an error before anything is sent

        def of_path() -> Generator[bytes, None, None]:
            with path.open("rb") as file:
                yield from _chunks(file)

        return of_path, Retry.IF_REFUSED
    if not source.seekable():
        return lambda: _chunks(source), Retry.NEVER
    start = source.tell()

    def of_file() -> Generator[bytes, None, None]:
        source.seek(start)
        yield from _chunks(source)

    return of_file, Retry.IF_REFUSED


def _chunks(file: BinaryIO) -> Generator[bytes, None, None]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
