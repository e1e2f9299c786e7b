"""What `facet cluster` writes, whether nets or a file have found the faces: lines, links and the summary."""

from collections.abc import Sequence
from pathlib import Path

from app.service.cluster_folders import ClusterFolders
from app.service.cluster_images import ClusterResponse, ClusterRun, ImageFaces
from app.service.console import emit, report
from app.service.file_reading import file_id
from app.service.local_files import line
from app.service.problems import Problem
from app.service.run_summary import RunSummary, Tally

_SAME_FILE = "the same file as another one"


class DifferentFiles:
    """Leaves out links to files that were added before, because a face would be alike to itself.

    Args:
        left_out: counts them.
    """

    def __init__(self, left_out: Tally) -> None:
        self._left_out = left_out
        self._seen: set[tuple[int, int]] = set()

    def add(self, path: str) -> bool:
        """Add a file.

        Returns:
            False if it is left out.
        """
        identity = file_id(path)
        if identity in self._seen:
            self._left_out.add(_SAME_FILE, path)
            return False
        if identity is not None:
            self._seen.add(identity)
        return True


def write_clusters(
    run: ClusterRun, files: Sequence[str], results: Sequence[ImageFaces | Problem], links: Path | None
) -> ClusterResponse:
    """Find the clusters, print a line of JSON for each image, and write the links.

    Args:
        run: finds the clusters.
        files: the file of each image.
        results: the faces or the problem of each image.
        links: folder for a folder of links for each cluster; None writes none.

    Returns:
        The clusters.

    Raises:
        OSError: a link cannot be written.
    """
    response = run.group(results)
    for file, result in zip(files, response.results, strict=True):
        names = {"file": file}
        if isinstance(result, Problem):
            emit(line(names, problem=result))
        else:
            emit(line(names, result))
    if links is not None:
        ClusterFolders(links).write(files, response)
    return response


def report_clusters(response: ClusterResponse, summary: RunSummary) -> bool:
    """Report a summary to standard error.

    Returns:
        True if there was at least one image, and none failed.
    """
    report(_totals(response) if response.results else "There are no images to read.")
    for text in summary.lines():
        report(text)
    return summary.read > 0 and summary.failed.total == 0


def _totals(response: ClusterResponse) -> str:
    numbers = [face.cluster for one in response.results if not isinstance(one, Problem) for face in one.faces]
    alone = sum(number is None for number in numbers)
    clusters = "1 cluster" if response.clusters == 1 else f"{response.clusters} clusters"
    return f"{len(numbers)} faces: {len(numbers) - alone} in {clusters}, and {alone} alike to no other."
