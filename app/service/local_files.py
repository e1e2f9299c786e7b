"""Local image files: finds them, runs an operation on each, and prints the results as JSON lines."""

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
"""File name suffixes of images in a folder. A file that is named directly may have any suffix."""

_JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


def find(paths: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return the image files that the paths name or contain, sorted within each folder.

    Args:
        paths: files, and folders that are searched recursively.

    Returns:
        For each image its path, and its path relative to the given folder (for a given file: its name).
    """
    pictures = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            pictures += [(p, p.relative_to(path)) for p in inside]
        else:
            pictures.append((path, Path(path.name)))
    return pictures


def read(path: Path, limit: int, field: str) -> bytes:
    """Return the content of a file.

    Args:
        path: the file.
        limit: maximum size in bytes.
        field: name of the argument that named the file, for the errors.

    Raises:
        TooManyBytes: the file has more than `limit` bytes. Reading stops there.
        BadParameter: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BadParameter(f"The file {path} cannot be read: {error.strerror}.", field) from error
    if len(data) > limit:
        raise TooManyBytes(f"The file {path} exceeds the limit of {limit} bytes.", field)
    return data


def line(
    files: Mapping[str, str], answer: BaseModel | None = None, problem: problems.Problem | None = None
) -> str:
    """Return one line of JSON: the names of the files, then the result or the problem.

    Args:
        files: names of the files by key, for example `{"file": "a.jpg"}`.
        answer: the result, whose fields are added to the line.
        problem: the problem, which is added as the field `problem`.
    """
    fields: dict[str, object] = dict(files)
    if answer is not None:
        fields |= answer.model_dump(mode="json")
    if problem is not None:
        fields["problem"] = problem.model_dump(exclude_none=True)
    return json.dumps(fields, ensure_ascii=False)


class FileRun:
    """Runs one operation on many files. A file that fails is reported and does not stop the others.

    Args:
        operation: the operation on one image.
        limits: limits on an image.
        draw: folder for copies of the images with the results drawn on them; None writes no copies.
    """

    def __init__(self, operation: Callable[[Upload], ImageResult], limits: Limits, draw: Path | None) -> None:
        self._operation = operation
        self._limits = limits
        self._draw = draw
        self._occupied: set[tuple[int, int]] = set()

    def process(self, paths: Iterable[Path]) -> bool:
        """Process all images, and print a line of JSON for each.

        Returns:
            True if there was at least one image and none failed.
        """
        files = find(paths)
        if not files:
            typer.echo("facet: The given folders contain no images.", err=True)
            return False
        self._occupied = {file for path, _ in files if (file := _file_id(path))}
        succeeded = True
        for path, relative in tqdm(files, disable=len(files) < 2, file=sys.stderr, unit="image"):
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
        """Write the drawn image: as JPEG if the source is a JPEG, else as PNG.

        A number is added to the name if the file would overwrite an image that this run reads or wrote.

        Returns:
            The path of the written file.

        Raises:
            BadParameter: the file cannot be written.
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
            raise BadParameter(
                f"The drawn image {target} cannot be written: {error.strerror}.", "draw"
            ) from error
        if drawn := _file_id(target):
            self._occupied.add(drawn)
        return target


def _file_id(path: Path) -> tuple[int, int] | None:
    """Return the identity of a file, which is the same for all its links and spellings; None if missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
