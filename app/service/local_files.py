"""Pictures in files and folders: found, read, processed one after the other, answered as JSON lines."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import typer
from pydantic import BaseModel
from tqdm import tqdm

from app.errors import BadParameter, FacetError, TooManyBytes
from app.service import problems
from app.service.limits import Limits
from app.service.operations import ImageResult
from app.service.upload import Upload

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif"})
"""Suffixes of the files that a folder is searched for. A file given by name is read whatever its suffix."""

_JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


def find(paths: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return each picture with its path relative to the given folder; for a given file, its name."""
    pictures = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            pictures += [(p, p.relative_to(path)) for p in inside]
        else:
            pictures.append((path, Path(path.name)))
    return pictures


def read(path: Path, limit: int, field: str) -> bytes:
    """Return the bytes of a file.

    Raises:
        TooManyBytes: it has more than `limit` bytes; no more are read.
        BadParameter: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BadParameter(f"The file cannot be read: {error.strerror}.", field) from error
    if len(data) > limit:
        raise TooManyBytes(f"The file exceeds the limit of {limit} bytes.", field)
    return data


def line(
    files: Mapping[str, str], answer: BaseModel | None = None, problem: problems.Problem | None = None
) -> str:
    """Return one line of JSON: the names of the files, then the answer or the problem."""
    fields: dict[str, object] = dict(files)
    if answer is not None:
        fields |= answer.model_dump(mode="json")
    if problem is not None:
        fields["problem"] = problem.model_dump(exclude_none=True)
    return json.dumps(fields, ensure_ascii=False)


class FileRun:
    """An operation applied to many pictures. A picture that fails is reported and does not stop the others.

    Args:
        operation: what is done with each picture.
        limits: limits on a picture.
        draw: folder for pictures with the answer drawn on them, if wanted.
    """

    def __init__(self, operation: Callable[[Upload], ImageResult], limits: Limits, draw: Path | None) -> None:
        self._operation = operation
        self._limits = limits
        self._draw = draw
        self._occupied: set[tuple[int, int]] = set()

    def process(self, paths: Iterable[Path]) -> bool:
        """Print a line for each picture. Return whether there were any and none failed."""
        files = find(paths)
        if not files:
            typer.echo("facet: the given folders contain no pictures", err=True)
            return False
        self._occupied = {file for path, _ in files if (file := _file_id(path))}
        succeeded = True
        for path, relative in tqdm(files, disable=len(files) < 2, file=sys.stderr, unit="picture"):
            names = {"file": str(path)}
            try:
                result = self._operation(Upload(read(path, self._limits.image_bytes, "file")))
                if self._draw is not None:
                    names["drawn"] = str(self._write(result, self._draw, relative))
                text = line(names, result.response)
            except FacetError as error:
                succeeded = False
                text = line(names, problem=problems.of_error(error, self._limits))
            with tqdm.external_write_mode(file=sys.stdout):
                typer.echo(text)
        return succeeded

    def _write(self, result: ImageResult, folder: Path, relative: Path) -> Path:
        """Write the drawn picture and return its path: JPEG for a JPEG, PNG for all other formats.

        A number is added to the name rather than overwriting a picture of this run, read or drawn.
        """
        suffix = relative.suffix.lower()
        jpeg = suffix in _JPEG
        target = folder / (
            relative if jpeg or suffix == ".png" else relative.with_name(f"{relative.name}.png")
        )
        number = 2
        while _file_id(target) in self._occupied:
            target = target.with_name(f"{relative.stem}-{number}{target.suffix}")
            number += 1
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(result.drawn("jpeg" if jpeg else "png"))
        except OSError as error:
            raise BadParameter(f"The drawn picture cannot be written: {error.strerror}.", "draw") from error
        if drawn := _file_id(target):
            self._occupied.add(drawn)
        return target


def _file_id(path: Path) -> tuple[int, int] | None:
    """Return what all names of a file share, links and other cases included; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
