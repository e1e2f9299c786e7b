"""Hashes of files, and the hash that identifies the data of a run in its `run.json`."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def hash_file(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_tfrecords(folder: Path) -> str:
    """Return one sha256 of the names and contents of all TFRecord files of a folder."""
    lines = [f"{path.name} {hash_file(path)}" for path in sorted(folder.glob("*.tfrecord"))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def hash_files(files: Iterable[Path]) -> str:
    """Return one sha256 of the names and contents of files, in the given order."""
    lines = "".join(f"{path.name} {hash_file(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()
