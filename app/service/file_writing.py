"""Writes files that appear under their name when they are complete. Private ones are in `private_file`."""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def check_target(target: Path) -> None:
    """Check that what is at a path may be replaced by a file: a regular file, or nothing.

    Raises:
        OSError: it is a folder, a device, a pipe or a socket, or a link to one; or the path is invalid.
    """
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(target))


def part_of(target: Path) -> Path:
    """Return a path in the folder of a file for its content until it is complete. No other file has it."""
    return target.with_name(f".facet-{secrets.token_hex(8)}.part")


def replace(target: Path, data: bytes) -> None:
    """Write a file completely or not at all.

    Raises:
        OSError: it cannot be written.
    """
    part = part_of(target)
    try:
        part.write_bytes(data)
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
