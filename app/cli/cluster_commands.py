"""The command `cluster`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.cli.bulk_results import Results, cluster_results
from app.cli.common import (
    Device,
    MaxFaces,
    MinFaceSize,
    Model,
    Orientation,
    leave,
    open_models,
    query_of,
    settings_of,
)
from app.cli.gallery_access import reporting_errors
from app.service.file_reading import STANDARD_INPUT, reason
from app.wiring import limits_of, worker_threads


def cluster(
    paths: Annotated[
        list[str] | None,
        typer.Argument(show_default=False, help="Image files, and folders to search for image files."),
    ] = None,
    links: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="New folder for a folder of links to the images of each cluster."),
    ] = None,
    sheets: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="New folder for images that show the faces of each cluster."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Minimum mean similarity of two clusters that are merged.")
    ] = None,
    min_face_size: MinFaceSize = None,
    max_faces: MaxFaces = None,
    orientation: Orientation = None,
    results: Results = None,
    model: Model = None,
    device: Device = None,
) -> None:
    """Find which faces in images are of one person. Print one JSON line per image, after the last one."""
    from app.service.cluster_files import MAX_FACES, ClusterFilesRun
    from app.service.cluster_images import ClusterQuery, ClusterRun

    if results is not None:
        _check_results_only(paths, sheets, (min_face_size, max_faces, orientation), model)
    elif not paths:
        leave(2, "Name image files or folders, as in: facet cluster photos")
    elif STANDARD_INPUT in paths:
        leave(
            2, "Clusters need several images: name files or folders instead of -. A file of this name is ./-"
        )
    for option, folder in (("--links", links), ("--sheets", sheets)):
        if folder is not None:
            _check_new(folder, option)
    query = query_of(
        ClusterQuery,
        model=model,
        threshold=threshold,
        min_face_size=min_face_size,
        max_faces=max_faces,
        orientation=orientation,
    )
    settings = settings_of(device=device)
    with reporting_errors(), _reporting_failures():
        if results is not None:
            succeeded = cluster_results(results, links, query, settings)
        else:
            assert paths is not None
            operations = open_models(settings, {"detect": None, "embed": model})
            run = ClusterRun(operations, query, MAX_FACES)
            files = ClusterFilesRun(run, limits_of(settings), worker_threads(settings), links, sheets)
            succeeded = files.process(paths)
    if not succeeded:
        leave(1)


def _check_new(folder: Path, option: str) -> None:
    """Check that a folder to write does not exist, or is empty.

    Raises:
        Exit: it is not empty, or it cannot be read.
    """
    try:
        if not any(folder.iterdir()):
            return
        fault = "exists and is not empty"
    except FileNotFoundError:
        return
    except OSError as error:
        fault = f"cannot be read: {reason(error)}"
    leave(2, f"The folder {folder} of {option} {fault}. Name a new folder.")


def _check_results_only(
    paths: list[str] | None, sheets: Path | None, detection: tuple[object, ...], model: str | None
) -> None:
    """Check that nothing is given that results of `facet bulk` have already or do not have.

    Raises:
        Exit: it is.
    """
    if paths:
        leave(2, "--from takes the images of the results. Name no files and folders with it.")
    if sheets is not None:
        leave(2, "--sheets shows the faces in the images, which --from does not read. Use --links.")
    if any(option is not None for option in detection):
        leave(
            2,
            "--from takes the faces of the results. Set --min-face-size, --max-faces and --orientation for "
            "`facet bulk`.",
        )
    if model is not None:
        leave(2, "--from takes the embeddings of the results. Set --model for `facet bulk`.")


@contextmanager
def _reporting_failures() -> Iterator[None]:
    """End the command with the status 1 if clusters cannot be written or do not fit into memory.

    Raises:
        Exit: they cannot.
    """
    try:
        yield
    except OSError as error:
        leave(1, f"The clusters cannot be written: {reason(error)}.")
    except MemoryError:
        leave(1, "There is not enough memory for so many faces. Process fewer images in one run.")
