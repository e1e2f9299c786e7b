"""Finds the images of a run: files, folders, patterns, and objects of object stores."""

import fnmatch
import glob
import os
import posixpath
import re
from collections.abc import Iterable
from typing import NamedTuple

from pyarrow import fs

from app.bulk.errors import BadInput
from app.bulk.stores import absolute, is_uri, open_uri
from app.errors import BadParameter, TooManyBytes
from app.service.file_reading import STANDARD_INPUT, read, reason
from app.service.file_search import FileSearch, has_readable_suffix

_PATTERN = re.compile(r"[*?[]")


class Image(NamedTuple):
    """An image to process.

    Attributes:
        file: its absolute path or URI.
        relative: its path relative to the given folder, or to the part of a pattern before its first sign.
    """

    file: str
    relative: str


class Inputs:
    """The images of a run, each once.

    Args:
        given: files, folders, patterns and URIs.

    Attributes:
        images: the images, in a fixed order.
        left_out: the files and folders that were left out, by reason.
        failed: the folders that cannot be searched.

    Raises:
        BadInput: one of them names nothing, or cannot be read.
    """

    def __init__(self, given: Iterable[str]) -> None:
        self._search = FileSearch()
        self.left_out = self._search.left_out
        self.failed: list[str] = []
        found: dict[str, Image] = {}
        for one in given:
            if one == STANDARD_INPUT:
                raise BadInput("`facet bulk` does not read standard input. A file of this name is ./-")
            location = absolute(one)
            for image in self._objects(location) if is_uri(location) else self._files(location):
                found.setdefault(image.file, image)
        self.images = list(found.values())

    def _files(self, path: str) -> list[Image]:
        """Return the images of a local file, folder or pattern.

        Raises:
            BadInput: there is nothing of this name.
        """
        self._search.found.clear()
        if os.path.lexists(path):
            self._search.add(_without_parents(path))
            return self._images()
        if not (pattern := _PATTERN.search(path)):
            raise BadInput(f"There is no file or folder {path}. Name an existing one.")
        matches = sorted(glob.glob(path, recursive=True))
        if not matches:
            raise BadInput(f"No file matches the pattern {path}. Correct it, or name a folder.")
        for match in matches:
            self._search.add(_without_parents(match))
        fixed = _without_parents(os.path.dirname(path[: pattern.start()]))
        return [Image(image.file, os.path.relpath(image.file, fixed)) for image in self._images()]

    def _images(self) -> list[Image]:
        images = []
        for file in self._search.found:
            if file.error is None:
                images.append(Image(file.path, file.relative))
            else:
                self.failed.append(file.path)
        return images

    def _objects(self, uri: str) -> list[Image]:
        """Return the images of an object, of a folder of an object store, or of a pattern.

        Raises:
            BadInput: there is no such object, or the store cannot be read.
        """
        location, sign, query = uri.partition("?")
        pattern = _PATTERN.search(location)
        if pattern is None and "*" in query:
            raise BadInput(f"The pattern {uri} has the sign ?, which begins a query in a URI. Use * instead.")
        root = location if pattern is None else posixpath.dirname(location[: pattern.start()])
        system, path = open_uri(root + sign + query)
        try:
            info = system.get_file_info(path)
            if info.type == fs.FileType.File:
                return [Image(uri, posixpath.basename(path))]
            inside = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        except OSError as error:
            raise BadInput(f"{uri} cannot be searched: {reason(error)}.") from error
        relative = sorted(
            one.path[len(path.rstrip("/")) :].lstrip("/") for one in inside if one.type == fs.FileType.File
        )
        if pattern is not None:
            below = location[len(root) :].lstrip("/")
            relative = [name for name in relative if _matches(name, below)]
        if not relative:
            raise BadInput(f"There is no object {uri}, and none below it. Correct the URI.")
        images = []
        for name in relative:
            file = f"{root.rstrip('/')}/{name}{sign}{query}"
            if pattern is not None or has_readable_suffix(name):
                images.append(Image(file, name))
            else:
                self.left_out.add("an object without the suffix of an image", file)
        return images


class Reader:
    """Reads images from local files and object stores.

    Args:
        limit: maximum size of an image in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def read(self, file: str) -> bytes:
        """Return the content of an image.

        Args:
            file: its path or URI.

        Raises:
            TooManyBytes: the image is larger than the limit.
            BadParameter: it cannot be read.
        """
        if not is_uri(file):
            return read(file, self._limit, "file")
        try:
            system, path = open_uri(file)
            with system.open_input_file(path) as content:
                data: bytes = content.read(self._limit + 1)
        except (OSError, ValueError, BadInput) as error:
            why = str(error) if isinstance(error, BadInput) else reason(error)
            raise BadParameter(f"The file {file} cannot be read: {' '.join(why.split())}.", "file") from error
        if len(data) > self._limit:
            raise TooManyBytes(f"The file {file} exceeds the limit of {self._limit} bytes.", "file")
        return data


def _without_parents(path: str) -> str:
    """Return an absolute path without `..`, which would give one file several names.

    A link keeps its name, unless `..` follows it: this is the parent of the folder that the link names.
    """
    without = os.sep
    for part in path.split(os.sep):
        if part == os.pardir:
            without = os.path.dirname(os.path.realpath(without) if os.path.islink(without) else without)
        else:
            without = os.path.join(without, part)
    return without


def _matches(name: str, pattern: str) -> bool:
    """Return whether a relative path matches a pattern, in which `**` stands for any folders."""
    return _match(name.split("/"), pattern.split("/"))


def _match(names: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(_match(names[skip:], patterns[1:]) for skip in range(len(names) + 1))
    return bool(names) and fnmatch.fnmatchcase(names[0], patterns[0]) and _match(names[1:], patterns[1:])
