"""Runs an operation on local image files, and prints the results as JSON lines."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote_from_bytes

from pydantic import BaseModel

from app.errors import FacetError, OutOfMemory
from app.service import problems
from app.service.console import Progress, report
from app.service.drawings import Drawable, DrawingFolder
from app.service.file_reading import read
from app.service.file_search import FileSearch, FoundFile
from app.service.limits import Limits
from app.service.problems import Problem
from app.service.run_summary import RunSummary
from app.service.upload import Upload

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029]")
"""Characters that JSON allows in a string, but at which terminals and some programs break lines."""


def line(files: Mapping[str, str], answer: BaseModel | None = None, problem: Problem | None = None) -> str:
    """Return one line of JSON: the names of the files, then the result or the problem.

    The line can be encoded as UTF-8. In a file name that is not valid Unicode, U+FFFD replaces each invalid
    byte, and a second field, for example `file_bytes`, has the bytes of the name, percent-encoded.

    Args:
        files: names of the files by key, for example `{"file": "a.jpg"}`.
        answer: the result, whose fields are added to the line.
        problem: the problem, which is added as the field `problem`.
    """
    fields: dict[str, object] = {}
    for key, name in files.items():
        fields[key] = name
        if _SURROGATE.search(name):
            fields[f"{key}_bytes"] = quote_from_bytes(os.fsencode(name))
    if answer is not None:
        fields |= answer.model_dump(mode="json")
    if problem is not None:
        fields["problem"] = problem.model_dump(exclude_none=True)
    text = _SURROGATE.sub("\ufffd", json.dumps(fields, ensure_ascii=False))
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def problem_of(error: Exception, limits: Limits) -> Problem:
    """Return the problem for any error, so that one image does not end a run.

    Args:
        error: the error.
        limits: limits on an image.
    """
    if isinstance(error, FacetError):
        return problems.of_error(error, limits)
    if isinstance(error, MemoryError):
        return problems.of_error(OutOfMemory("There is not enough memory for this image."), limits)
    return problems.of_status(500, f"An unexpected error occurred: {type(error).__name__}: {error}.")


class RunResult(Drawable, Protocol):
    """The result of an operation on one image."""

    @property
    def response(self) -> BaseModel:
        """The response, whose fields the line of the image has."""


class FileRun:
    """Runs one operation on many files. A file that fails is reported and does not stop the others.

    Args:
        operation: the operation on one image.
        limits: limits on an image.
        draw: folder for copies of the images with the results drawn on them; None writes no copies.
    """

    def __init__(self, operation: Callable[[Upload], RunResult], limits: Limits, draw: Path | None) -> None:
        self._operation = operation
        self._limits = limits
        self._draw = draw

    def process(self, paths: Iterable[str | os.PathLike[str]]) -> bool:
        """Process all images, print a line of JSON for each, and report a summary to standard error.

        Args:
            paths: files, and folders that are searched with their subfolders; `-` is standard input.

        Returns:
            True if there was at least one image, and no image and no folder failed.

        Raises:
            KeyboardInterrupt: the user stopped the run. The summary was reported.
        """
        search = FileSearch(self._draw)
        summary = RunSummary(search.left_out)
        try:
            for path in paths:
                search.add(path)
            drawings = None
            if self._draw is not None:
                drawings = DrawingFolder(self._draw, (file.path for file in search.found))
            with Progress(len(search.found), "image") as progress:
                for file in search.found:
                    progress.emit(self._process_file(file, drawings, summary))
        except KeyboardInterrupt:
            report(f"Interrupted after {summary.read + summary.failed.total} of {len(search.found)} files.")
            _report(summary)
            raise
        if not search.found:
            report("There are no images to read.")
        if search.folders or len(search.found) != 1 or summary.failed.total:
            _report(summary)
        return summary.read > 0 and summary.failed.total == 0

    def _process_file(self, file: FoundFile, drawings: DrawingFolder | None, summary: RunSummary) -> str:
        """Return the line of a file, and count it."""
        names = {"file": file.path}
        result = problem = None
        try:
            if file.error is not None:
                raise file.error
            result = self._operation(Upload(read(file.path, self._limits.image_bytes, "file")))
            if drawings is not None:
                names["drawn"] = str(drawings.write(result, file.relative))
        except Exception as error:  # decoders and runtimes raise many kinds; the line reports each
            problem = problem_of(error, self._limits)
        if problem is None:
            summary.read += 1
        elif file.error is not None:
            summary.failed.add("folders that cannot be searched", file.path)
        else:
            summary.failed.add(problem.kind, file.path)
        return line(names, None if result is None else result.response, problem)


def _report(summary: RunSummary) -> None:
    for text in summary.lines():
        report(text)
