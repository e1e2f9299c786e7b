"""Pictures in files and folders: found, read, worked on one after the other, answered as JSON lines."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import typer
from pydantic import BaseModel
from tqdm import tqdm

from app.api import problems
from app.api.reading import Upload
from app.api.service import Limits
from app.api.work import Seen
from app.errors import BadParameter, FacetError, TooManyBytes

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif"})
"""Files a folder is searched for. A file that is named is read whatever its name."""

_JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


def find(paths: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Every picture with its place below the folder that was named (a file's is its own name)."""
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            found += [(p, p.relative_to(path)) for p in inside]
        else:
            found.append((path, Path(path.name)))
    return found


def read(path: Path, most: int, field: str) -> bytes:
    """The file's bytes. Raises TooManyBytes (reading no more), BadParameter where it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise BadParameter(f"The file cannot be read: {error.strerror}.", field) from error
    if len(data) > most:
        raise TooManyBytes(f"The file is over the limit of {most} bytes.", field)
    return data


def line(
    files: Mapping[str, str], answer: BaseModel | None = None, problem: problems.Problem | None = None
) -> str:
    """One line of JSON: the files' names, then the answer, or the problem under its name."""
    fields: dict[str, object] = dict(files)
    if answer is not None:
        fields |= answer.model_dump(mode="json")
    if problem is not None:
        fields["problem"] = problem.model_dump(exclude_none=True)
    return json.dumps(fields, ensure_ascii=False)


class Run:
    """A job done on many pictures. One that fails is told of, and does not stop the others."""

    def __init__(self, job: Callable[[Upload], Seen], limits: Limits, draw: Path | None) -> None:
        self._job = job
        self._limits = limits
        self._draw = draw
        self._taken: set[tuple[int, int]] = set()

    def all_of(self, paths: Iterable[Path]) -> bool:
        """Prints a line for every picture; whether there were any and all went well."""
        files = find(paths)
        if not files:
            typer.echo("facet: there are no pictures in the folders named", err=True)
            return False
        self._taken = {there for path, _ in files if (there := _identity(path))}
        well = True
        for path, place in tqdm(files, disable=len(files) < 2, file=sys.stderr, unit="picture"):
            files_named = {"file": str(path)}
            try:
                seen = self._job(Upload(read(path, self._limits.image_bytes, "file")))
                if self._draw is not None:
                    files_named["drawn"] = str(self._write(seen, place))
                text = line(files_named, seen.response)
            except FacetError as error:
                well = False
                text = line(files_named, problem=problems.of_error(error, self._limits))
            with tqdm.external_write_mode(file=sys.stdout):
                typer.echo(text)
        return well

    def _write(self, seen: Seen, place: Path) -> Path:
        """The drawn picture's path: JPEG for a JPEG, PNG for all else, numbered where names meet.

        No picture of this run is written over, neither one that is read nor one that was drawn.
        """
        assert self._draw is not None
        suffix = place.suffix.lower()
        jpeg = suffix in _JPEG
        target = self._draw / (place if jpeg or suffix == ".png" else place.with_name(f"{place.name}.png"))
        number = 2
        while _identity(target) in self._taken:
            target = target.with_name(f"{place.stem}-{number}{target.suffix}")
            number += 1
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(seen.drawn("jpeg" if jpeg else "png"))
        except OSError as error:
            raise BadParameter(f"The drawn picture cannot be written: {error.strerror}.", "draw") from error
        if drawn := _identity(target):
            self._taken.add(drawn)
        return target


def _identity(path: Path) -> tuple[int, int] | None:
    """What two names of one file share, be they links or differ in case; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
