"""The commands that process images: detect, landmarks, embed, verify, calibrate."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import (
    Device,
    Draw,
    MaxFaces,
    MinFaceSize,
    Model,
    Orientation,
    Paths,
    Pose,
    Quality,
    Score,
    check_standard_input,
    detect_query,
    leave,
    open_models,
    query_of,
    settings_of,
)
from app.errors import FacetError, UnknownModel
from app.service.calibrate import Calibrator
from app.service.calibration_file import CalibrationFile
from app.service.console import emit, report
from app.service.file_reading import read, reason
from app.service.file_writing import check_target
from app.service.image_tasks import OPERATIONS, ImageTask, needed_models
from app.service.local_files import FileRun, line, problem_of
from app.service.operations import ImageResult
from app.service.people_folder import PeopleFolder, Refused
from app.service.requests import DetectQuery, VerifyQuery
from app.service.upload import Upload
from app.wiring import limits_of


def detect(
    paths: Paths = None,
    model: Model = None,
    min_face_size: MinFaceSize = None,
    threshold: Score = None,
    max_faces: MaxFaces = None,
    orientation: Orientation = None,
    pose: Pose = False,
    quality: Quality = False,
    draw: Draw = None,
    device: Device = None,
) -> None:
    """Detect faces. Print one JSON line per image; --draw also writes images with the faces drawn on them."""
    query = detect_query(model, min_face_size, threshold, max_faces, orientation, pose, quality)
    _process("detect", paths, query, draw, device)


def landmarks(
    paths: Paths = None,
    model: Model = None,
    min_face_size: MinFaceSize = None,
    threshold: Score = None,
    max_faces: MaxFaces = None,
    orientation: Orientation = None,
    pose: Pose = False,
    quality: Quality = False,
    draw: Draw = None,
    device: Device = None,
) -> None:
    """Detect faces and their landmarks. Print one JSON line per image; --draw also writes images."""
    query = detect_query(model, min_face_size, threshold, max_faces, orientation, pose, quality)
    _process("landmarks", paths, query, draw, device)


def embed(
    paths: Paths = None,
    model: Model = None,
    min_face_size: MinFaceSize = None,
    threshold: Score = None,
    max_faces: MaxFaces = None,
    orientation: Orientation = None,
    pose: Pose = False,
    quality: Quality = False,
    device: Device = None,
) -> None:
    """Detect faces and compute their embeddings. Print one JSON line per image."""
    query = detect_query(model, min_face_size, threshold, max_faces, orientation, pose, quality)
    _process("embed", paths, query, None, device)


def verify(
    a: Annotated[str | None, typer.Argument(help="First image file; - is standard input.")] = None,
    b: Annotated[str | None, typer.Argument(help="Second image file; - is standard input.")] = None,
    model: Model = None,
    threshold: Annotated[float | None, typer.Option(help="Minimum similarity for the same person.")] = None,
    far: Annotated[
        float | None, typer.Option(help="False accept rate: selects the threshold that is calibrated for it.")
    ] = None,
    orientation: Orientation = None,
    device: Device = None,
) -> None:
    """Compare the largest faces of two images. Print one JSON line that says if they are the same person."""
    if a is None or b is None:
        leave(2, "Name two image files, as in: facet verify first.jpg second.jpg")
    check_standard_input([a, b])
    query = query_of(VerifyQuery, model=model, threshold=threshold, far=far, orientation=orientation)
    settings = settings_of(device=device)
    limits = limits_of(settings)
    files = {"file_a": a, "file_b": b}
    try:
        operations = open_models(settings, {"detect": None, "embed": model})
        pair = read(a, limits.image_bytes, "image_a"), read(b, limits.image_bytes, "image_b")
        answer = operations.verify(pair, query)
    except (FacetError, MemoryError) as error:
        emit(line(files, problem=problem_of(error, limits)))
        leave(1)
    emit(line(files, answer))


def calibrate(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder with a folder of images for each person.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Name of an embedder, see `facet models`. May be repeated."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The calibration file to write.")] = Path(
        "calibration.json"
    ),
    device: Device = None,
) -> None:
    """Calibrate thresholds on images of known people. Print the rates, and write a calibration file."""
    if folder is None or not os.path.isdir(folder):
        leave(2, "Name a folder with a folder of images for each person, as in: facet calibrate people")
    if not os.path.isdir(out.parent):
        leave(2, f"{out} cannot be written: the folder {out.parent} does not exist.")
    try:
        check_target(out)
    except OSError as error:
        leave(2, f"{out} cannot be written: {reason(error)}. Name another file.")
    settings = settings_of(device=device)
    names: list[str | None] = [*model] if model else [None]
    try:
        operations = open_models(
            settings, {"detect": None, "embed": names[0]}, frozenset(filter(None, names[1:]))
        )
        analyzer, limits = operations.analyzer, operations.limits
        embedders = [analyzer.embedder(name) for name in names]
        people = PeopleFolder(folder, limits)
        faces = people.read(analyzer, embedders)
        for text in (*people.failures, *people.summary.lines()):
            report(text)
        calibrators = {embedder.spec.model: Calibrator(embedder, faces) for embedder in embedders}
        for calibrator in calibrators.values():
            for text in calibrator.lines():
                emit(text)
        file = CalibrationFile(
            version=1,
            created=datetime.now(UTC).replace(microsecond=0),
            embedders={name: one.calibration(analyzer) for name, one in calibrators.items()},
        )
    except UnknownModel as error:
        leave(1, error.detail)
    except Refused as error:
        leave(1, "\nfacet: ".join(error.args))
    try:
        file.write(out)
    except OSError as error:
        leave(1, f"{out} cannot be written: {reason(error)}.")
    report(f"{out} is written. FACE_CALIBRATION={out} makes the service use it.")


def _process(
    task: ImageTask,
    paths: list[str] | None,
    query: DetectQuery,
    draw: Path | None,
    device: str | None,
) -> None:
    if not paths:
        leave(2, f"Name image files or folders, or - for standard input, as in: facet {task} photos")
    check_standard_input(paths)
    settings = settings_of(device=device)
    try:
        operations = open_models(settings, *needed_models(task, query))
    except UnknownModel as error:
        unknown = error

        def work(upload: Upload) -> ImageResult:
            raise unknown.with_traceback(None)
    else:

        def work(upload: Upload) -> ImageResult:
            return OPERATIONS[task](operations, upload, query)

    if not FileRun(work, limits_of(settings), draw).process(paths):
        leave(1)
