"""The commands that find people: enrol and identify."""

import os
from pathlib import Path
from typing import Annotated

import typer

from app.cli.bulk_results import Results, enrol_results
from app.cli.common import (
    Device,
    Draw,
    MaxFaces,
    MinFaceSize,
    Model,
    Orientation,
    Paths,
    check_standard_input,
    leave,
    query_of,
    settings_of,
)
from app.cli.gallery_access import gallery_with_models, reporting_errors
from app.service.console import report
from app.service.local_files import FileRun
from app.wiring import limits_of, worker_threads

Collection = Annotated[
    str | None, typer.Option("--collection", "-c", metavar="NAME", help="Name of the collection.")
]


def enrol(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", show_default=False, help="Folder with a folder of images for each person."
        ),
    ] = None,
    collection: Collection = None,
    names: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV file with the columns file, name and optionally external_id; the files are in DIR.",
        ),
    ] = None,
    faces: Annotated[
        str | None,
        typer.Option(
            metavar="largest|one",
            help="Which face of an image is enrolled; with one, an image with several faces fails.",
        ),
    ] = None,
    min_face_size: MinFaceSize = None,
    orientation: Orientation = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="When the new people and faces are deleted, such as 2030-12-31T23:59:59Z."
        ),
    ] = None,
    results: Results = None,
    model: Model = None,
    device: Device = None,
) -> None:
    """Add the people in images to a collection. Print one JSON line per image."""
    from app.gallery import clock
    from app.service.create_collection import create_collection
    from app.service.enrol_list import BadNames, in_folders, in_names_file
    from app.service.enrolment import EnrolRun, FacesOfFiles
    from app.service.gallery_requests import FacesQuery, check_collection_name
    from app.service.run_summary import Tally

    if results is None and (folder is None or not os.path.isdir(folder)):
        leave(2, "Name a folder with a folder of images for each person, as in: facet enrol people -c family")
    if collection is None:
        leave(2, "Name a collection, as in: facet enrol people --collection family")
    query = query_of(
        FacesQuery, faces=faces, expires=expires, min_face_size=min_face_size, orientation=orientation
    )
    if query.expires is not None and query.expires <= clock.now():
        leave(2, f"The time {expires} of --expires has passed. Give a later one.")
    settings = settings_of(device=device)
    with reporting_errors():
        check_collection_name(collection)
    if results is not None:
        others = (folder, names, min_face_size, orientation, model)
        if any(option is not None for option in others):
            leave(
                2, "--from cannot be combined with DIR, --names, --min-face-size, --orientation and --model."
            )
        if not enrol_results(results, collection, query, settings):
            leave(1)
        return
    assert folder is not None
    try:
        images, left_out = in_folders(folder) if names is None else (in_names_file(names, folder), Tally())
    except BadNames as error:
        leave(2, "\nfacet: ".join(error.args))
    if not images:
        for text in left_out.lines("left out:"):
            report(text)
        leave(1, "There are no images to enrol. DIR needs a folder of images for each person.")
    with gallery_with_models(settings, model, collection) as operations:
        create_collection(operations.gallery, operations.analyzer, collection, model)
        usable = operations.gallery.usable(collection)
        source = FacesOfFiles(operations, usable, query, limits_of(settings))
        run = EnrolRun(operations, usable, query, worker_threads(settings), source)
        succeeded = run.process(images, left_out)
    if not succeeded:
        leave(1)


def identify(
    paths: Paths = None,
    collection: Collection = None,
    fpir: Annotated[
        float | None,
        typer.Option(
            help="False positive identification rate: selects the threshold for the size of the collection."
        ),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Minimum similarity to be somebody.")] = None,
    top: Annotated[int | None, typer.Option(help="Maximum number of candidates per face.")] = None,
    min_face_size: MinFaceSize = None,
    max_faces: MaxFaces = None,
    orientation: Orientation = None,
    draw: Draw = None,
    device: Device = None,
) -> None:
    """Find the people of a collection in images. Print one JSON line per image; --draw also writes images."""
    from app.service.gallery_requests import IdentifyQuery

    if not paths:
        leave(2, "Name image files or folders, as in: facet identify photos --collection family")
    if collection is None:
        leave(2, "Name a collection, as in: facet identify photos --collection family")
    name = collection
    check_standard_input(paths)
    query = query_of(
        IdentifyQuery,
        fpir=fpir,
        threshold=threshold,
        top=top,
        min_face_size=min_face_size,
        max_faces=max_faces,
        orientation=orientation,
    )
    settings = settings_of(device=device)
    with gallery_with_models(settings, None, name, must_exist=True) as operations:
        found = operations.gallery.usable(name)
        operations.threshold(found, found.faces, query)  # a rate that it does not support ends the command
        run = FileRun(lambda upload: operations.identify(upload, name, query), limits_of(settings), draw)
        succeeded = run.process(paths)
    if not succeeded:
        leave(1)
