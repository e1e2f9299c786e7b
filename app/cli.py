"""Facet: face detection, landmarks, embedding and verification, as an HTTP service or on local files.

The environment variables of the settings (FACE_DEVICE, FACE_MODELS_DIR, ...) apply to every command.
"""

import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import ValidationError

from app.errors import FacetError, UnknownModel
from app.runtime.process_limits import require_threads
from app.service import problems
from app.service.calibrate import Calibrator
from app.service.calibration_file import CalibrationFile
from app.service.console import OutputError, discard_unwritten, emit, report
from app.service.file_reading import STANDARD_INPUT, read
from app.service.local_files import FileRun, line, problem_of
from app.service.model_info import ModelInfo
from app.service.operations import ImageResult, Operations
from app.service.people_folder import PeopleFolder, Refused
from app.service.requests import DetectQuery, VerifyQuery
from app.service.upload import Upload
from app.settings import Settings, explain, is_loopback, unknown_variables
from app.vision.spec import Task
from app.wiring import limits_of, load_analyzer, model_threads

_PIPE_CLOSED = 141  # 128 + SIGPIPE: the status of programs that a closed pipe ends

Q = TypeVar("Q", DetectQuery, VerifyQuery)
Operation = Callable[[Operations, Upload, DetectQuery], ImageResult]

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        show_default=False,
        help="Image files, and folders to search for image files; - is an image from standard input.",
    ),
]
Model = Annotated[str | None, typer.Option(help="Name of a model, see `facet models`.")]
MinFaceSize = Annotated[
    float | None, typer.Option(help="Side of the smallest face to search for, in pixels.")
]
Score = Annotated[float | None, typer.Option("--threshold", help="Minimum score of a face.")]
MaxFaces = Annotated[int | None, typer.Option(help="Maximum number of faces per image.")]
Pose = Annotated[bool, typer.Option("--pose", help="Add yaw, pitch and roll of each head.")]
Quality = Annotated[bool, typer.Option("--quality", help="Add the quality of each face for recognition.")]
Orientation = Annotated[
    str | None,
    typer.Option(
        metavar="upright|auto",
        help="auto also searches an image turned by 90, 180 and 270 degrees if it contains no upright face.",
    ),
]
Draw = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for copies of the images with the results drawn on them."),
]
Device = Annotated[str | None, typer.Option(help="Device: auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N.")]
_MESH, _JUDGE = "mesh68", "fused"
"""The models that find the pose of heads and the quality of faces, if the command uses neither anyway."""

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    device: Device = None,
) -> None:
    """Run the HTTP service."""
    from app import server  # imported here, so that the other commands start without FastAPI and uvicorn

    settings = _settings(host=host, port=port, device=device)
    try:
        require_threads(1)  # the thread of the log
        server.log_to_stderr(settings)
        if not settings.keys() and not is_loopback(settings.host):
            logging.warning(
                "SECURITY: %s is reachable from other machines, and no API keys are set: every client can "
                "use the service. Set FACE_API_KEYS or FACE_API_KEYS_FILE, or put an authenticating proxy in "
                "front.",
                settings.host,
            )
        status = server.serve(settings)
    except FacetError as error:
        _cannot_start(error)
    _exit(status)


@cli.command()
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
    query = _detect_query(model, min_face_size, threshold, max_faces, orientation, pose, quality)
    _process(Operations.detect, {"detect": model}, paths, query, draw, device)


@cli.command()
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
    query = _detect_query(model, min_face_size, threshold, max_faces, orientation, pose, quality)
    _process(Operations.landmarks, {"detect": None, "landmarks": model}, paths, query, draw, device)


@cli.command()
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
    query = _detect_query(model, min_face_size, threshold, max_faces, orientation, pose, quality)
    _process(Operations.embed, {"detect": None, "embed": model}, paths, query, None, device)


@cli.command()
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
        _exit(2, "Name two image files, as in: facet verify first.jpg second.jpg")
    _check_standard_input([a, b])
    query = _query(VerifyQuery, model=model, threshold=threshold, far=far, orientation=orientation)
    settings = _settings(device=device)
    limits = limits_of(settings)
    files = {"file_a": a, "file_b": b}
    try:
        operations = _open(settings, {"detect": None, "embed": model})
        pair = read(a, limits.image_bytes, "image_a"), read(b, limits.image_bytes, "image_b")
        answer = operations.verify(pair, query)
    except (FacetError, MemoryError) as error:
        emit(line(files, problem=problem_of(error, limits)))
        _exit(1)
    emit(line(files, answer))


@cli.command()
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
    if folder is None or not folder.is_dir():
        _exit(2, "Name a folder with a folder of images for each person, as in: facet calibrate people")
    if not out.parent.is_dir():
        _exit(2, f"{out} cannot be written: the folder {out.parent} does not exist.")
    settings = _settings(device=device)
    names: list[str | None] = [*model] if model else [None]
    try:
        operations = _open(settings, {"detect": None, "embed": names[0]}, frozenset(filter(None, names[1:])))
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
        _exit(1, error.detail)
    except Refused as error:
        _exit(1, "\nfacet: ".join(error.args))
    try:
        file.write(out)
    except OSError as error:
        _exit(1, f"{out} cannot be written: {error.strerror}.")
    report(f"{out} is written. FACE_CALIBRATION={out} makes the service use it.")


@cli.command()
def models(device: Device = None) -> None:
    """List the loaded models. Print one JSON line per model."""
    operations = _open(_settings(device=device), None)
    for model in operations.analyzer.models:
        emit(ModelInfo.of(model, operations.analyzer).model_dump_json())


def main() -> None:
    """Run the command line, for `facet` and `python -m app`."""
    try:
        cli(prog_name="facet")
    except OutputError as error:
        if error.closed:
            sys.exit(_PIPE_CLOSED)
        report(str(error))
        sys.exit(1)
    finally:
        discard_unwritten()


def _process(
    operation: Operation,
    tasks: dict[Task, str | None],
    paths: list[str] | None,
    query: DetectQuery,
    draw: Path | None,
    device: str | None,
) -> None:
    if not paths:
        command = next(reversed(tasks))
        _exit(2, f"Name image files or folders, or - for standard input, as in: facet {command} photos")
    _check_standard_input(paths)
    settings = _settings(device=device)
    try:
        also = {_MESH: query.pose, _JUDGE: query.quality}
        operations = _open(settings, tasks, frozenset(name for name, wanted in also.items() if wanted))
    except UnknownModel as error:
        unknown = error

        def work(upload: Upload) -> ImageResult:
            raise unknown.with_traceback(None)
    else:

        def work(upload: Upload) -> ImageResult:
            return operation(operations, upload, query)

    if not FileRun(work, limits_of(settings), draw).process(paths):
        _exit(1)


def _check_standard_input(paths: list[str]) -> None:
    if paths.count(STANDARD_INPUT) > 1:
        _exit(2, "Standard input (-) is one image: name it once. A file of this name is ./-")


def _open(
    settings: Settings, tasks: dict[Task, str | None] | None, also: frozenset[str] = frozenset()
) -> Operations:
    """Return the operations with the models of the tasks and others, or all models if `tasks` is None.

    Raises:
        UnknownModel: the command line names an unknown model.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        require_threads(model_threads(settings))
        return Operations(load_analyzer(settings, only=tasks, also=also), limits_of(settings))
    except UnknownModel:
        raise
    except FacetError as error:
        _cannot_start(error)


def _settings(**overrides: Any) -> Settings:
    if unknown := unknown_variables(os.environ):
        _exit(2, "\n".join(unknown))
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        _exit(2, explain(error))


def _detect_query(
    model: str | None,
    min_face_size: float | None,
    threshold: float | None,
    max_faces: int | None,
    orientation: str | None,
    pose: bool,
    quality: bool,
) -> DetectQuery:
    return _query(
        DetectQuery,
        model=model,
        min_face_size=min_face_size,
        threshold=threshold,
        max_faces=max_faces,
        orientation=orientation,
        pose=pose,
        quality=quality,
    )


def _query(kind: type[Q], **options: Any) -> Q:
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        _exit(2, problems.of_validation(error.errors()).detail)


def _cannot_start(error: FacetError) -> NoReturn:
    _exit(1, f"cannot start: {' '.join(error.detail.split())}")


def _exit(status: int, message: str | None = None) -> NoReturn:
    """End the command with an exit status and, if a message is given, print it to standard error.

    Raises:
        Exit: always.
    """
    if message is not None:
        report(message)
    raise typer.Exit(status)
