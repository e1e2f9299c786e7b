"""New files that only their owner can read. They appear under their name when they are complete."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.service.file_writing import check_target, part_of


@contextmanager
def private_file(target: Path, overwrite: bool) -> Iterator[Path]:
    """Write a file completely or not at all. It and other new files get the mode 0600 meanwhile.

    Args:
        target: the file.
        overwrite: whether an existing file is replaced.

    Yields:
        The path to write to, which does not exist yet.

    Raises:
        FileExistsError: the file exists, and must not be replaced.
        OSError: the file cannot be written.
    """
    _check(target, overwrite)
    part = part_of(target)
    umask = os.umask(0o077)
    try:
        yield part
        _synchronise(part)
        _check(target, overwrite)
        part.replace(target)
        _synchronise(target.parent)
    finally:
        os.umask(umask)
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _check(target: Path, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "it exists", str(target))
    check_target(target)


def _synchronise(path: Path) -> None:
    """Write a file or a folder from the cache of the system to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
