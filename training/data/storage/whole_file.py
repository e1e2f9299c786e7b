"""Files that appear at their path completely or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file beside its path, and move it there when it is complete.

    Args:
        path: the file to write or replace.

    Yields:
        The path to write to, with the same file name extension. After an error, the file is removed.
    """
    part = path.with_name(f"part.{path.name}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
