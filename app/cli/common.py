"""What the commands share: options, settings, loading of models, and exits."""

import logging
import os
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from app.errors import FacetError, UnknownModel
from app.runtime.process_limits import require_threads
from app.service import problems
from app.service.console import report
from app.service.file_reading import STANDARD_INPUT
from app.service.operations import Operations
from app.service.requests import DetectQuery
from app.settings import Settings, explain, unknown_variables
from app.vision.spec import Task
from app.wiring import limits_of, load_analyzer, model_threads

Q = TypeVar("Q", bound=BaseModel)

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


def settings_of(**overrides: Any) -> Settings:
    """Return the settings of the environment, with those that the command line sets.

    Args:
        **overrides: the values of the command line by the name of the setting; None keeps the setting.

    Raises:
        Exit: a setting is invalid or unknown.
    """
    if unknown := unknown_variables(os.environ):
        leave(2, "\n".join(unknown))
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        leave(2, explain(error))


def query_of(kind: type[Q], **options: Any) -> Q:
    """Return options as the parameters of a request, which are checked as the API checks them.

    Args:
        kind: the class of the parameters.
        **options: the options by the name of the parameter; None is the default.

    Raises:
        Exit: an option is invalid.
    """
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        leave(2, problems.of_validation(error.errors()).detail)


def detect_query(
    model: str | None,
    min_face_size: float | None,
    threshold: float | None,
    max_faces: int | None,
    orientation: str | None,
    pose: bool,
    quality: bool,
) -> DetectQuery:
    """Return the options of a command that finds faces as the parameters of a request.

    Args:
        model: name of a model.
        min_face_size: side of the smallest face.
        threshold: minimum score of a face.
        max_faces: maximum number of faces.
        orientation: `upright` or `auto`.
        pose: whether to add poses.
        quality: whether to add qualities.
    """
    return query_of(
        DetectQuery,
        model=model,
        min_face_size=min_face_size,
        threshold=threshold,
        max_faces=max_faces,
        orientation=orientation,
        pose=pose,
        quality=quality,
    )


def open_models(
    settings: Settings, tasks: dict[Task, str | None] | None, also: frozenset[str] = frozenset()
) -> Operations:
    """Return the operations with the models of the tasks and others, or all models if `tasks` is None.

    Raises:
        UnknownModel: the command line names an unknown model.
        Exit: the models cannot be loaded.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        require_threads(model_threads(settings))
        return Operations(load_analyzer(settings, only=tasks, also=also), limits_of(settings))
    except UnknownModel:
        raise
    except FacetError as error:
        cannot_start(error)


def check_standard_input(paths: list[str]) -> None:
    """Check that standard input is named once.

    Raises:
        Exit: it is named several times.
    """
    if paths.count(STANDARD_INPUT) > 1:
        leave(2, "Standard input (-) is one image: name it once. A file of this name is ./-")


def cannot_start(error: FacetError) -> NoReturn:
    """End the command, because the models cannot be loaded or the service cannot start.

    Raises:
        Exit: always.
    """
    leave(1, f"cannot start: {' '.join(error.detail.split())}")


def leave(status: int, message: str | None = None) -> NoReturn:
    """End the command with an exit status and, if a message is given, print it to standard error.

    Raises:
        Exit: always.
    """
    if message is not None:
        report(message)
    raise typer.Exit(status)
