"""What the commands `bulk`, and `enrol` and `cluster` with its results, share.

The modules of `bulk` are imported here inside functions, because they need PyArrow.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.common import leave, open_models
from app.cli.gallery_access import gallery_with_models
from app.service.console import report
from app.settings import Settings
from app.wiring import limits_of, worker_threads

if TYPE_CHECKING:
    from app.bulk.results import BulkResults
    from app.service.cluster_images import ClusterQuery
    from app.service.gallery_requests import FacesQuery

Results = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="OUTPUT",
        help="Results of `facet bulk --task embed` in place of images. No face is computed again.",
    ),
]


def enrol_results(location: str, collection: str, query: "FacesQuery", settings: Settings) -> bool:
    """Enrol the people in the results of a run, for the command `enrol`.

    Args:
        location: the output of the run.
        collection: name of the collection.
        query: which face of each image is enrolled.
        settings: the settings.

    Returns:
        True if no image failed.

    Raises:
        Exit: the results cannot be used.
    """
    with _results(location, "facet enrol", "They are not enrolled.") as results:
        from app.bulk.enrol_source import FacesOfResults
        from app.gallery.contract import contract_of
        from app.service.create_collection import create_collection
        from app.service.enrolment import EnrolRun

        source = FacesOfResults(results, query)
        images, left_out = source.images()
        if not images:
            leave(1, "There are no images to enrol. INPUT of the run needs a folder for each person.")
        with gallery_with_models(settings, results.model, collection) as operations:
            results.check_contract(contract_of(operations.analyzer, results.model))
            create_collection(operations.gallery, operations.analyzer, collection, results.model)
            usable = operations.gallery.usable(collection)
            run = EnrolRun(operations, usable, query, worker_threads(settings), source)
            return run.process(images, left_out)


def cluster_results(location: str, links: Path | None, query: "ClusterQuery", settings: Settings) -> bool:
    """Find the clusters of the faces in the results of a run, for the command `cluster`.

    Args:
        location: the output of the run.
        links: folder for a folder of links for each cluster; None writes none.
        query: has the threshold.
        settings: the settings.

    Returns:
        True if there was at least one image, and no image failed.

    Raises:
        Exit: the results cannot be used.
    """
    with _results(location, "facet cluster", "They are in no cluster.") as results:
        from app.bulk.cluster_source import ClusterResultsRun
        from app.gallery.contract import contract_of
        from app.service.cluster_files import MAX_FACES
        from app.service.cluster_images import ClusterRun

        images = ClusterResultsRun(results, links, MAX_FACES)
        operations = open_models(settings, {"detect": None, "embed": results.model})
        results.check_contract(contract_of(operations.analyzer, results.model))
        run = ClusterRun(operations, query.model_copy(update={"model": results.model}), MAX_FACES)
        return images.process(run, limits_of(settings))


@contextmanager
def reporting_bulk_errors() -> Iterator[None]:
    """End the command with the status 2 for an invalid argument, and 1 if the run cannot go on.

    Raises:
        Exit: it does.
    """
    from app.bulk.errors import BadInput, BulkError

    try:
        yield
    except BulkError as error:
        leave(2 if isinstance(error, BadInput) else 1, str(error))


def check_extra(user: str, modules: tuple[str, ...]) -> None:
    """Check that the packages of the extra `ray` are installed.

    Args:
        user: what needs them, for the message.
        modules: the modules that it needs.

    Raises:
        Exit: one is missing.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            leave(
                2,
                f"{user} needs {'Ray' if module == 'ray' else 'PyArrow'}. Install it: `make ray` makes the "
                "environment .venv-ray with it; elsewhere install the extra `ray` of Facet.",
            )


@contextmanager
def _results(location: str, command: str, without: str) -> Iterator["BulkResults"]:
    """Open the results of a run, and report the images that it has not processed yet.

    Args:
        location: its output.
        command: the command that needs them, for a message.
        without: what becomes of the images that are missing, as a sentence.

    Yields:
        The results.

    Raises:
        Exit: they cannot be used.
    """
    check_extra(f"{command} --from", ("pyarrow",))
    with reporting_bulk_errors():
        from app.bulk.results import BulkResults
        from app.bulk.stores import absolute

        results = BulkResults(absolute(location))
        if results.missing:
            report(f"The run has not processed {results.missing} images yet. {without}")
        yield results
