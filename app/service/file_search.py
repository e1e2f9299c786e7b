"""Searches folders for image files, and records what it leaves out and why."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from app.errors import BadParameter, FacetError
from app.service.drawings import is_drawing
from app.service.file_reading import STANDARD_INPUT, file_id, read_head, reason
from app.service.run_summary import Tally
from app.vision.file_types import SUFFIXES, identify
from app.vision.image import READABLE

_FORMAT_OF_SUFFIX = {suffix: name for name, suffixes in SUFFIXES.items() for suffix in suffixes}

_PACKAGES = {"HEIC": "pi-heif", "HEIF": "pi-heif"}

_MACOS_PREFIX = "._"

_DRAWN = "drawn by Facet"

_ADDED_FOLDERS = ("@eaDir", "__MACOSX")
"""Folders with metadata: thumbnails of Synology, and resource forks in ZIP files of macOS."""

_HIDDEN = f'a hidden folder (its name begins with ".", or is {" or ".join(_ADDED_FOLDERS)})'


class FoundFile(NamedTuple):
    """A file to process, or a folder that cannot be searched.

    Attributes:
        path: its path; `-` for standard input.
        relative: its path relative to the given folder; for a given file its name.
        error: why the folder cannot be searched; None for a file.
    """

    path: str
    relative: str
    error: FacetError | None = None


class FileSearch:
    """Searches for image files.

    A given file is taken whatever it is. In a folder, a file is taken if its suffix or its first bytes are
    those of an image format that Facet reads. Drawn images are left out, so that a second run processes the
    same images; a drawn image that is given is left out only if the run draws.

    Args:
        draw: folder for drawn images. It is not searched unless it is given itself.
        hidden: whether to search hidden folders inside a given folder, and folders that network storage and
            macOS add.
        readable: names of the image formats that Facet reads.

    Attributes:
        found: the files, sorted within each folder.
        folders: number of folders that were given.
        left_out: the files and folders that were left out, by reason.
    """

    def __init__(
        self,
        draw: str | os.PathLike[str] | None = None,
        readable: Iterable[str] = READABLE,
        hidden: bool = True,
    ) -> None:
        self._hidden = hidden
        self.found: list[FoundFile] = []
        self.folders = 0
        self.left_out = Tally()
        self._draws = draw is not None
        self._draw_id = None if draw is None else file_id(draw)
        self._readable = frozenset(readable)

    def add(self, given: str | os.PathLike[str]) -> None:
        """Add a file, or the images of a folder and its subfolders; `-` adds standard input."""
        given = os.fspath(given)
        if given == STANDARD_INPUT:
            self.found.append(FoundFile(STANDARD_INPUT, "stdin"))
            return
        path = _join("", str(Path(given))) if given else given
        if os.path.isdir(path):
            self.folders += 1
            self._add_folder(path)
        elif self._draws and _is_drawn_file(path):
            self.left_out.add(_DRAWN, path)
        else:
            self.found.append(FoundFile(path, os.path.basename(path)))

    def _add_folder(self, root: str) -> None:
        pending = [(root, "", True)]  # the next item is the last one; recursion would limit the depth
        while pending:
            path, relative, is_folder = pending.pop()
            if not is_folder:
                self._add_inside(path, relative)
                continue
            if relative and not self._hidden and _is_hidden(os.path.basename(relative)):
                self.left_out.add(_HIDDEN, path)
                continue
            if relative and self._draw_id is not None and file_id(path) == self._draw_id:
                self.left_out.add("the folder of drawn images", path)
                continue
            try:
                with os.scandir(path) as entries:
                    inside = sorted(entries, key=lambda entry: entry.name, reverse=True)
            except OSError as error:
                detail = f"The folder {path} cannot be searched: {reason(error)}."
                self.found.append(FoundFile(path, relative, BadParameter(detail, "file")))
                continue
            pending += [
                (_join(path, entry.name), os.path.join(relative, entry.name), _is_folder(entry))
                for entry in inside
            ]

    def _add_inside(self, path: str, relative: str) -> None:
        """Add a file of a folder if it is an image, else record why it is left out."""
        format_of_suffix = _FORMAT_OF_SUFFIX.get(os.path.splitext(path)[1].lower())
        expected = format_of_suffix in self._readable
        if os.path.basename(path).startswith(_MACOS_PREFIX):
            self.left_out.add('metadata of macOS (the name begins with "._")', path)
        elif os.path.isdir(path):
            self.left_out.add("a link to a folder, which is not followed", path)
        else:
            try:
                head = read_head(path)
            except OSError as error:
                if expected:  # processing it reports the error
                    self.found.append(FoundFile(path, relative))
                else:
                    self.left_out.add(f"cannot be opened, and has no image suffix ({reason(error)})", path)
                return
            kind = identify(head)
            if is_drawing(head):
                self.left_out.add(_DRAWN, path)
            elif expected or kind in self._readable:
                self.found.append(FoundFile(path, relative))
            else:
                self.left_out.add(_why_not(kind or format_of_suffix), path)


def has_readable_suffix(name: str) -> bool:
    """Return whether a file name has the suffix of an image that Facet reads and is not metadata of macOS."""
    kind = _FORMAT_OF_SUFFIX.get(os.path.splitext(name)[1].lower())
    return kind in READABLE and not os.path.basename(name).startswith(_MACOS_PREFIX)


def _is_drawn_file(path: str) -> bool:
    try:
        return os.path.isfile(path) and is_drawing(read_head(path))
    except OSError:
        return False  # processing it reports the error


def _is_hidden(name: str) -> bool:
    """Return whether a folder of this name is not one of the user's."""
    return name.startswith(".") or name in _ADDED_FOLDERS


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False  # opening it as a file reports the error


def _join(folder: str, name: str) -> str:
    """Return the path of a file in a folder. A file named `-` gets a path that is not standard input."""
    if folder in {"", "."}:
        return name if name != STANDARD_INPUT else os.path.join(".", name)
    return os.path.join(folder, name)


def _why_not(kind: str | None) -> str:
    if kind is None:
        return "not an image"
    if kind in _PACKAGES:
        return f"{kind}, which needs the optional package {_PACKAGES[kind]}"
    return f"{kind}, which is not supported"
