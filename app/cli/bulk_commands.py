"""The command `bulk`."""

from typing import Annotated, get_args

import typer

from app.cli.bulk_results import check_extra, reporting_bulk_errors
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
from app.cli.gallery_access import reporting_errors
from app.service.image_tasks import ImageTask, needed_models

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
    from app.bulk.inputs import Inputs
    from app.bulk.run import BulkRun
    from app.bulk.stores import absolute
    from app.runtime.ray_connection import LOCAL

    with reporting_bulk_errors():
        output = absolute(paths[-1])
        inputs = Inputs(paths[:-1])
        with reporting_errors():
            operations = open_models(
                settings.model_copy(update={"device": "cpu"}), *needed_models(task, query)
            )
            query.options(operations.limits.faces)
            description = Description.of(operations, task, query)
        del operations  # the workers load their own
        cluster = RayCluster(settings.ray_address or LOCAL, actors, threads)
        succeeded = BulkRun(description, settings, cluster, part_size).process(inputs, output)
    if not succeeded:
        leave(1)
