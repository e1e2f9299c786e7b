"""Finds the clusters of the faces that `facet bulk` has computed."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from app.bulk.errors import BadInput
from app.bulk.results import FILE, BulkResults, error_of, faces_of, files_of
from app.bulk.stores import is_uri
from app.service.cluster_images import ClusterRun, ImageFaces
from app.service.cluster_output import DifferentFiles, report_clusters, write_clusters
from app.service.console import Progress, report
from app.service.limits import Limits
from app.service.local_files import problem_of
from app.service.problems import Problem
from app.service.responses import Face, Size
from app.service.run_summary import RunSummary, Tally

_COUNTED = "faces.list.element.score"
"""A small column with a value for each face."""


class ClusterResultsRun:
    """Finds clusters in the results of `facet bulk --task embed`, as `ClusterFilesRun` does in image files.

    Args:
        results: the results.
        links: folder for a folder of links for each cluster; None writes none.
        max_faces: maximum number of faces.

    Raises:
        BadInput: the results have more faces, or images that links cannot lead to.
        BulkError: the results cannot be read.
    """

    def __init__(self, results: BulkResults, links: Path | None, max_faces: int) -> None:
        self._results = results
        self._links = links
        self._left_out = Tally()
        self._kept = self._choose(max_faces)

    def process(self, run: ClusterRun, limits: Limits) -> bool:
        """Print a line of JSON for each image, and report a summary to standard error.

        Args:
            run: finds the clusters.
            limits: limits on an image, which problems name.

        Returns:
            True if there was at least one image, and no image failed.

        Raises:
            BulkError: the results cannot be read.
            OSError: a folder of links cannot be written.
            KeyboardInterrupt: the user stopped the run.
        """
        files: list[str] = []
        found: list[ImageFaces | Problem] = []
        summary = RunSummary(self._left_out)
        try:
            with Progress(sum(map(len, self._kept)), "image") as progress:
                for part, rows in zip(self._results.parts, self._kept, strict=True):
                    table = self._results.read(part, [*FILE, "image", "faces", "problem"])
                    if len(rows) < len(table):
                        table = table.take(pa.array(rows, pa.int64()))
                    files += files_of(table)
                    found += _images(table, limits)
                    progress.advance(len(rows))
        except KeyboardInterrupt:
            report("Interrupted. No cluster was found.")
            raise
        for file, one in zip(files, found, strict=True):
            if isinstance(one, Problem):
                summary.failed.add(one.kind, file)
            else:
                summary.read += 1
        return report_clusters(write_clusters(run, files, found, self._links), summary)

    def _choose(self, max_faces: int) -> list[list[int]]:
        """Return for each part its rows without those of links to files before them.

        The faces are counted before embeddings are read, because these may not fit into memory.

        Raises:
            BadInput: there are too many faces, or images that links cannot lead to.
        """
        different = DifferentFiles(self._left_out)
        chosen, faces = [], 0
        for part in self._results.parts:
            table = self._results.read(part, [*FILE, _COUNTED])
            counts = table["faces"].combine_chunks().value_lengths().to_pylist()
            rows = []
            for row, (file, count) in enumerate(zip(files_of(table), counts, strict=True)):
                if not is_uri(file) and not different.add(file):
                    continue
                if self._links is not None:
                    self._check_link(file)
                rows.append(row)
                faces += count or 0
            if faces > max_faces:
                raise BadInput(
                    f"The results have more than {max_faces} faces. Run `facet bulk` with another OUTPUT on "
                    "fewer images, or with a larger --min-face-size or fewer --max-faces."
                )
            chosen.append(rows)
        return chosen

    def _check_link(self, file: str) -> None:
        if is_uri(file):
            raise BadInput(
                f"--links needs local files, but the results have the object {file}. Leave out --links: the "
                "lines have the cluster of each face."
            )
        if not os.path.exists(file):
            raise BadInput(
                f"--links needs the files of the results, but {file} does not exist. Leave out --links: the "
                "lines have the cluster of each face."
            )


def _images(table: pa.Table, limits: Limits) -> Iterator[ImageFaces | Problem]:
    """Yield the faces or the problem of each row."""
    faces = faces_of(table)
    vectors = faces.embeddings
    assert vectors is not None
    shown = Face.all_of(replace(faces, embeddings=None, qualities=None))
    counts = table["faces"].combine_chunks().value_lengths().to_pylist()
    start = 0
    for size, problem, count in zip(
        table["image"].to_pylist(), table["problem"].to_pylist(), counts, strict=True
    ):
        if problem is not None:
            yield problem_of(error_of(problem), limits)
            continue
        end = start + count
        yield ImageFaces(Size(**size), shown[start:end], vectors[start:end])
        start = end
