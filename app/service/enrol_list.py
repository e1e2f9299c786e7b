"""The images to enrol, each with its person: from a folder for each person, or from a CSV file."""

import csv
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from app.errors import BadParameter, FacetError
from app.service.file_reading import reason
from app.service.file_search import FileSearch
from app.service.gallery_requests import PersonBody
from app.service.run_summary import Tally, printable

if TYPE_CHECKING:
    import _csv

_REQUIRED, _OPTIONAL = ("file", "name"), ("external_id",)
_MOST_FAULTS = 5
NOT_OF_A_PERSON = "not in the folder of a person"
"""Reason why a file is left out."""


class BadNames(Exception):
    """A file of names cannot be used. The arguments are the lines that say why."""


@dataclass(frozen=True)
class PersonImage:
    """An image to enrol.

    Attributes:
        path: the file.
        name: name of the person.
        external_id: external id of the person.
        error: why it cannot be enrolled; None if it can.
    """

    path: str
    name: str | None
    external_id: str | None = None
    error: FacetError | None = None


def in_folders(folder: Path) -> tuple[list[PersonImage], Tally]:
    """Return the images of a folder that has a folder for each person, whose name is that of the person.

    Args:
        folder: the folder.

    Returns:
        The images, by path, and the files and folders that are left out, such as hidden folders.
    """
    search = FileSearch(hidden=False)
    search.add(folder)
    found = []
    for file in search.found:
        image = in_folder_of_person(file.path, file.relative, file.error)
        if image is None:
            search.left_out.add(NOT_OF_A_PERSON, file.path)
        else:
            found.append(image)
    return found, search.left_out


def in_folder_of_person(path: str, relative: str, error: FacetError | None = None) -> PersonImage | None:
    """Return a file as the image of the person whose name its first folder has; None if it is in no folder.

    Args:
        path: the file, or a folder that cannot be searched.
        relative: its path relative to the folder of all people.
        error: why it cannot be enrolled; None if it can.
    """
    person, inside, _ = relative.partition(os.sep)
    if error is None and not inside:
        return None
    name = person or None
    try:
        name = _person(person, None)[0]
        if name is None and error is None:
            error = BadParameter(
                "The name of the folder is blank. Give the folder the name of the person.", "name"
            )
    except BadParameter as fault:
        error = error or fault
    return PersonImage(path, name, error=error)


def in_names_file(file: Path, folder: Path) -> list[PersonImage]:
    """Return the images that a CSV file names, in its order.

    The file is UTF-8, has the columns `file`, `name` and optionally `external_id`, and commas between them.

    Args:
        file: the CSV file.
        folder: the folder that the names of the files are relative to.

    Raises:
        BadNames: the file cannot be read, or a line is not valid.
    """
    shown = printable(str(file))
    try:
        with open(file, encoding="utf-8-sig", newline="") as text:
            rows = csv.reader(text, strict=True)
            columns = _columns(next(rows, []), shown)
            return list(_images(rows, columns, folder, shown))
    except UnicodeDecodeError:
        raise BadNames(f"{shown} is not UTF-8. Save it as CSV with the encoding UTF-8.") from None
    except csv.Error as error:
        raise BadNames(f"{shown} is not valid CSV: {error}.") from None
    except OSError as error:
        raise BadNames(f"{shown} cannot be read: {reason(error)}.") from None


def _columns(header: Sequence[str], shown: str) -> list[str]:
    """Return the names of the columns.

    Raises:
        BadNames: a column is missing, unknown or there twice.
    """
    columns = [name.strip() for name in header]
    expected = "The columns are file and name, and optionally external_id."
    for sign, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(columns) == 1 and sign in header[0]:
            raise BadNames(f"The columns of {shown} are separated by {name}. Separate them by commas.")
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise BadNames(
            f"The first line of {shown} has no column {' and no column '.join(missing)}. {expected}"
        )
    for name in columns:
        if name not in (*_REQUIRED, *_OPTIONAL):
            raise BadNames(f"{shown} has an unknown column {name!r}. {expected}")
        if columns.count(name) > 1:
            raise BadNames(f"{shown} has the column {name} twice. {expected}")
    return columns


def _images(rows: "_csv.Reader", columns: Sequence[str], folder: Path, shown: str) -> Iterator[PersonImage]:
    """Yield the images of the lines.

    Raises:
        BadNames: a line is not valid. All lines are read before.
    """
    known = _Consistency()
    faults: list[str] = []
    for row in rows:
        if not row:
            continue
        try:
            yield known.checked(row, columns, folder, rows.line_num)
        except BadParameter as error:
            faults.append(f"{shown}, line {rows.line_num}: {error.detail}")
    if faults:
        more = len(faults) - _MOST_FAULTS
        last = [f"{shown} has {more} more such lines."] if more > 0 else []
        raise BadNames(*faults[:_MOST_FAULTS], *last)


class _Consistency:
    """Checks the lines of a file of names, and that they do not contradict each other."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}
        self._names: dict[str, tuple[str | None, int]] = {}
        self._has_id: dict[str, tuple[bool, int]] = {}

    def checked(self, row: Sequence[str], columns: Sequence[str], folder: Path, number: int) -> PersonImage:
        """Return the image of a line.

        Raises:
            BadParameter: the line is not valid.
        """
        if len(row) != len(columns):
            raise BadParameter(f"It has {len(row)} values, but there are {len(columns)} columns.")
        values = dict(zip(columns, row, strict=True))
        name, external_id = _person(values["name"], values.get("external_id"))
        if name is None and external_id is None:
            raise BadParameter("It has neither a name nor an external_id.")
        path = os.path.normpath(folder / values["file"])
        if not values["file"].strip() or not os.path.isfile(path):
            raise BadParameter(f"There is no file {values['file']!r} in {printable(str(folder))}.")
        first = self._lines.setdefault(path, number)
        if first != number:
            raise BadParameter(f"The file {values['file']!r} is already on line {first}.")
        self._check_person(name, external_id, number)
        return PersonImage(path, name, external_id)

    def _check_person(self, name: str | None, external_id: str | None, number: int) -> None:
        if external_id is not None:
            other, line = self._names.setdefault(external_id, (name, number))
            if other != name:
                raise BadParameter(f"The external_id {external_id!r} has another name on line {line}.")
        if name is not None:
            has_id, line = self._has_id.setdefault(name, (external_id is not None, number))
            if has_id != (external_id is not None):
                raise BadParameter(
                    f"{name!r} has an external_id either on this line or on line {line}, but not on both. "
                    "Give it on each line of the person."
                )


def _person(name: str | None, external_id: str | None) -> tuple[str | None, str | None]:
    """Return the name of a person in the normal form NFC, and the external id, as they are stored.

    Raises:
        BadParameter: one of them is not valid.
    """
    given = {"name": name and unicodedata.normalize("NFC", name), "external_id": external_id}
    texts = {key: text for key, text in given.items() if text and text.strip()}
    try:
        body = PersonBody.model_validate(texts)
    except ValidationError as error:
        fault = error.errors()[0]
        key = str(fault["loc"][0])
        why = fault["msg"].removeprefix("Value error, ")
        raise BadParameter(f"The {key} {printable(texts[key])} is not valid. {why}.", key) from None
    return body.name, body.external_id
