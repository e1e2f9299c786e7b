"""The command `bulk`, and the part of `enrol` that reads its results."""

from typing import TYPE_CHECKING, Annotated, get_args

import typer

from app.cli.common import (
    MaxFaces,
    MinFaceSize,
    Model,
    Orientation,
    Pose,
    Quality,
    Score,
    detect_query,
    leave,
    open_models,
    settings_of,
)
from app.cli.gallery_access import gallery_with_models, reporting_errors
from app.service.console import report
from app.service.image_tasks import ImageTask, needed_models
from app.settings import Settings
from app.wiring import worker_threads

if TYPE_CHECKING:
    from app.service.gallery_requests import FacesQuery

_TASKS: tuple[ImageTask, ...] = get_args(ImageTask)


def bulk(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT... OUTPUT",
            show_default=False,
            help="Image files, folders, patterns such as 'photos/**/*.jpg', and URIs such as "
            "s3://bucket/photos; last the folder or the URI for the results, as Parquet files.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="detect|landmarks|embed", help="What is done with each image.")
    ] = None,
    model: Model = None,
    min_face_size: MinFaceSize = None,
    threshold: Score = None,
    max_faces: MaxFaces = None,
    orientation: Orientation = None,
    pose: Pose = False,
    quality: Quality = False,
    ray_address: Annotated[str | None, typer.Option(help="Ray cluster: local or host:port.")] = None,
    actors: Annotated[
        int | None, typer.Option(min=1, help="Number of actors; without it as many as fit the cluster.")
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="CPUs of each actor. More of them save memory, but are slower.")
    ] = 1,
    part_size: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Maximum number of images in a Parquet file.")
    ] = None,
) -> None:
    """Process very many images on a Ray cluster, and write Parquet files. Run it again to continue."""
    if not paths or len(paths) < 2:
        leave(2, "Name images and a folder for the results, as in: facet bulk photos results --task embed")
    if task not in _TASKS:
        leave(2, f"Set --task to {', '.join(_TASKS[:-1])} or {_TASKS[-1]}.")
    query = detect_query(model, min_face_size, threshold, max_faces, orientation, pose, quality)
    settings = settings_of(ray_address=ray_address)
    if settings.device.startswith(("cuda", "tensorrt")):
        leave(2, f"facet bulk runs on CPUs only, but FACE_DEVICE is {settings.device}. Set FACE_DEVICE=cpu.")
    check_extra("facet bulk", ("pyarrow", "ray"))
    from app.bulk.cluster import RayCluster
    from app.bulk.description import Description
    from app.bulk.errors import BadInput, BulkError
    from app.bulk.inputs import Inputs
    from app.bulk.run import BulkRun
    from app.bulk.stores import absolute

    try:
        output = absolute(paths[-1])
        inputs = Inputs(paths[:-1])
        with reporting_errors():
            operations = open_models(
                settings.model_copy(update={"device": "cpu"}), *needed_models(task, query)
            )
            query.options(operations.limits.faces)
            description = Description.of(operations, task, query)
        del operations  # the workers load their own
        cluster = RayCluster(settings.ray_address, actors, threads)
        succeeded = BulkRun(description, settings, cluster, part_size).process(inputs, output)
    except BadInput as error:
        leave(2, str(error))
    except BulkError as error:
        leave(1, str(error))
    if not succeeded:
        leave(1)


def enrol_results(location: str, collection: str, query: "FacesQuery", settings: Settings) -> None:
    """Enrol the people in the results of a run, for the command `enrol`.

    Args:
        location: the output of the run.
        collection: name of the collection.
        query: which face of each image is enrolled.
        settings: the settings.

    Raises:
        Exit: the results cannot be used, or an image failed.
    """
    check_extra("facet enrol --from", ("pyarrow",))
    from app.bulk.errors import BadInput, BulkError
    from app.bulk.results import BulkResults
    from app.bulk.stores import absolute
    from app.gallery.contract import contract_of
    from app.service.create_collection import create_collection
    from app.service.enrolment import EnrolRun

    try:
        results = BulkResults(absolute(location), query)
        images, left_out = results.images()
        if results.missing:
            report(f"The run has not processed {results.missing} images yet. They are not enrolled.")
        if not images:
            leave(1, "There are no images to enrol. INPUT of the run needs a folder for each person.")
        with gallery_with_models(settings, results.model, collection) as operations:
            results.check_contract(contract_of(operations.analyzer, results.model))
            create_collection(operations.gallery, operations.analyzer, collection, results.model)
            usable = operations.gallery.usable(collection)
            run = EnrolRun(operations, usable, query, worker_threads(settings), results)
            succeeded = run.process(images, left_out)
    except BadInput as error:
        leave(2, str(error))
    except BulkError as error:
        leave(1, str(error))
    if not succeeded:
        leave(1)


def check_extra(user: str, modules: tuple[str, ...]) -> None:
    """Check that the packages of the extra `ray` are installed.

    Args:
        user: what needs them, for the message.
        modules: the modules that it needs.

    Raises:
        Exit: one is missing.
    """
    import importlib.util

    for module in modules:
        if importlib.util.find_spec(module) is None:
            leave(
                2,
                f"{user} needs {'Ray' if module == 'ray' else 'PyArrow'}. Install it: `make ray` makes the "
                "environment .venv-ray with it; elsewhere install the extra `ray` of Facet.",
            )
