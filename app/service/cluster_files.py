"""Finds the clusters of the faces in local image files, and prints the results as JSON lines."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from app.service.cluster_folders import Thumbnails
from app.service.cluster_images import ClusterRun, ImageFaces
from app.service.cluster_output import DifferentFiles, report_clusters, write_clusters
from app.service.console import Progress, report
from app.service.file_reading import read
from app.service.file_search import FileSearch, FoundFile
from app.service.limits import Limits
from app.service.local_files import problem_of
from app.service.problems import Problem
from app.service.run_summary import RunSummary
from app.service.upload import Upload

MAX_FACES = 100_000
"""Maximum number of faces. Their comparison needs a bit for each pair: 1.25 GB."""

_AHEAD = 2
"""Images for each thread that are read before they are needed."""


class ClusterFilesRun:
    """Finds clusters in image files. A file that fails is reported and does not stop the others.

    Args:
        run: finds faces and clusters.
        limits: limits on an image.
        threads: number of threads that read images.
        links: folder for a folder of links for each cluster; None writes none.
        sheets: folder for a contact sheet for each cluster; None writes none.
    """

    def __init__(
        self, run: ClusterRun, limits: Limits, threads: int, links: Path | None, sheets: Path | None
    ) -> None:
        self._run = run
        self._limits = limits
        self._threads = threads
        self._links = links
        self._thumbnails = None if sheets is None else Thumbnails(sheets)

    def process(self, paths: Iterable[str | os.PathLike[str]]) -> bool:
        """Process all images, print a line of JSON for each, and report a summary to standard error.

        Args:
            paths: files, and folders that are searched with their subfolders.

        Returns:
            True if there was at least one image, and no image and no folder failed.

        Raises:
            BadParameter: the images have too many faces together.
            OSError: a folder of links or sheets cannot be written.
            KeyboardInterrupt: the user stopped the run.
        """
        search = FileSearch()
        for path in paths:
            search.add(path)
        files = _different(search)
        summary = RunSummary(search.left_out)
        results = self._read_all(files, summary)
        names = [file.path for file in files]
        response = write_clusters(self._run, names, results, self._links)
        if self._thumbnails is not None:
            self._thumbnails.write_sheets(names, response)
        return report_clusters(response, summary)

    def _read_all(self, files: Sequence[FoundFile], summary: RunSummary) -> list[ImageFaces | Problem]:
        """Return the faces or the problem of each file, and count it.

        Raises:
            KeyboardInterrupt: the user stopped the run.
        """
        results: list[ImageFaces | Problem] = []
        readers = ThreadPoolExecutor(self._threads)
        try:
            with Progress(len(files), "image") as progress:
                for file, future in self._reading(readers, files):
                    results.append(self._result(file, future, summary))
                    self._run.check()
                    progress.advance()
        except KeyboardInterrupt:
            report(f"Interrupted after {len(results)} of {len(files)} files. No cluster was found.")
            raise
        finally:
            readers.shutdown(cancel_futures=True)
        return results

    def _reading(
        self, readers: ThreadPoolExecutor, files: Iterable[FoundFile]
    ) -> Iterator[tuple[FoundFile, Future[ImageFaces]]]:
        """Yield the files in their order, while threads read the next ones."""
        pending: deque[tuple[FoundFile, Future[ImageFaces]]] = deque()
        for file in files:
            pending.append((file, readers.submit(self._read, file)))
            if len(pending) > _AHEAD * self._threads:
                yield pending.popleft()
        yield from pending

    def _read(self, file: FoundFile) -> ImageFaces:
        if file.error is not None:
            raise file.error
        upload = Upload(read(file.path, self._limits.image_bytes, "file"))
        if self._thumbnails is None:
            return self._run.read(upload)
        return self._run.read(upload, partial(self._thumbnails.keep, file.path))

    def _result(
        self, file: FoundFile, future: Future[ImageFaces], summary: RunSummary
    ) -> ImageFaces | Problem:
        try:
            faces = future.result()
        except Exception as error:  # decoders and runtimes raise many kinds; the line reports each
            problem = problem_of(error, self._limits)
            if file.error is not None:
                summary.failed.add("folders that cannot be searched", file.path)
            else:
                summary.failed.add(problem.kind, file.path)
            return problem
        summary.read += 1
        return faces


def _different(search: FileSearch) -> list[FoundFile]:
    """Return the found files without links to files that are found before."""
    different = DifferentFiles(search.left_out)
    return [file for file in search.found if file.error is not None or different.add(file.path)]
