"""Reads local files and standard input. It does not wait for named pipes or devices."""

import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from app.errors import BadParameter, TooManyBytes

STANDARD_INPUT = "-"
"""The file name that stands for standard input."""

_HEAD_BYTES = 4096

_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_DESCRIPTOR = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/self/fd/\d+")


def read(path: str | os.PathLike[str], limit: int, field: str) -> bytes:
    """Return the content of a file, or of standard input if the path is `-`.

    Args:
        path: the file.
        limit: maximum size in bytes.
        field: name of the argument that named the file, for the errors.

    Raises:
        TooManyBytes: the file has more than `limit` bytes. A regular file is not read then; reading a stream
            stops at the limit.
        BadParameter: the file cannot be read.
    """
    path = os.fspath(path)
    subject = "Standard input" if path == STANDARD_INPUT else f"The file {path}"
    try:
        with _standard_input() if path == STANDARD_INPUT else _open(path) as file:
            size = os.fstat(file.fileno()).st_size if path != STANDARD_INPUT else 0
            data = file.read(limit + 1) if size <= limit else b""
    except (OSError, ValueError) as error:
        raise BadParameter(f"{subject} cannot be read: {reason(error)}.", field) from error
    if max(size, len(data)) > limit:
        raise TooManyBytes(f"{subject} exceeds the limit of {limit} bytes.", field)
    return data


def read_head(path: str) -> bytes:
    """Return the first bytes of a file, enough to identify its type.

    Raises:
        OSError: the file cannot be read, or it is not a regular file.
    """
    with _open(path) as file:
        return file.read(_HEAD_BYTES)


def reason(error: OSError | ValueError) -> str:
    """Return the reason of an error of the operating system, without the name of the file."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def file_id(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Return the identity of a file, which is the same for all its links and spellings; None if missing."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


@contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """Open a file and close it.

    Yields:
        The file: a regular one, or a pipe that the shell passes as a descriptor: `<(command)`, /dev/stdin.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISFIFO(mode) and _DESCRIPTOR.fullmatch(path):
        with open(path, "rb") as file:
            yield file
        return
    _check_type(mode)  # before opening, because opening a device may have side effects
    with open(path, "rb", opener=_without_waiting) as file:
        _check_type(os.fstat(file.fileno()).st_mode)  # the file may have been replaced since
        yield file


def _check_type(mode: int) -> None:
    """Check that a file is a regular file or a folder.

    Raises:
        OSError: it is of another type.
    """
    if kind := _SPECIAL.get(stat.S_IFMT(mode)):
        remedy = "send its data to standard input and name the file -"
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file; {remedy}")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def _standard_input() -> Iterator[BinaryIO]:
    """Check standard input, and leave it open.

    Yields:
        Standard input.

    Raises:
        OSError: it is closed, or a terminal.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed")
    if sys.stdin.isatty():
        raise OSError(errno.EINVAL, "it is a terminal; send a file to it, as in: facet detect - < photo.jpg")
    yield sys.stdin.buffer
