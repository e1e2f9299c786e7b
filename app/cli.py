"""Facet: faces in photographs. The HTTP service, and its work on files and folders without a server.

The settings' environment variables (FACE_DEVICE, FACE_MODELS_DIR, ...) hold for every command.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from app import server
from app.api import about, problems, security, work
from app.api.params import DetectQuery, VerifyQuery
from app.api.service import Limits
from app.errors import FacetError
from app.files import Run, line, read
from app.main import limits_of, load_analyzer
from app.pipeline.analyzer import Analyzer
from app.settings import Settings, explain, unknown_variables

Q = TypeVar("Q", DetectQuery, VerifyQuery)

Paths = Annotated[list[Path], typer.Argument(help="pictures, and folders to search for pictures")]
Model = Annotated[str | None, typer.Option(help="the model to take, as `facet models` lists it")]
MinFaceSize = Annotated[float | None, typer.Option(help="side of the smallest face to look for, in pixels")]
Score = Annotated[float | None, typer.Option("--threshold", help="lowest score of a face")]
MaxFaces = Annotated[int | None, typer.Option(help="keep only so many faces of a picture")]
Draw = Annotated[
    Path | None, typer.Option(metavar="DIR", help="write the pictures here with the answer drawn on")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N")]

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on")] = None,
    device: Device = None,
) -> None:
    """Run the HTTP service."""
    settings = _settings(host=host, port=port, device=device)
    server.log_to_stderr(settings)
    for name in unknown_variables(os.environ):
        logging.warning("the environment variable %s is no setting of Facet and has no effect", name)
    if not settings.keys() and not security.is_loopback(settings.host):
        logging.warning(
            "SECURITY: %s can be reached from elsewhere, and there are no API keys: whoever reaches it may "
            "use it. Set FACE_API_KEYS or FACE_API_KEYS_FILE, or put a proxy before it that asks who calls.",
            settings.host,
        )
    try:
        status = server.serve(settings)
    except FacetError as error:
        raise _stop(f"cannot start: {' '.join(error.detail.split())}", 1) from None
    raise typer.Exit(status)


@cli.command()
def detect(
    paths: Paths,
    model: Model = None,
    min_face_size: MinFaceSize = None,
    threshold: Score = None,
    max_faces: MaxFaces = None,
    draw: Draw = None,
    device: Device = None,
) -> None:
    """Find faces: one JSON line a picture, or with --draw the pictures with the faces drawn on."""
    query = _detect_query(model, min_face_size, threshold, max_faces)
    _work(work.detect, paths, query, draw, device)


@cli.command()
def landmarks(
    paths: Paths,
    model: Model = None,
    min_face_size: MinFaceSize = None,
    threshold: Score = None,
    max_faces: MaxFaces = None,
    draw: Draw = None,
    device: Device = None,
) -> None:
    """Find faces and their landmarks: JSON lines, or with --draw pictures too."""
    query = _detect_query(model, min_face_size, threshold, max_faces)
    _work(work.landmarks, paths, query, draw, device)


@cli.command()
def embed(
    paths: Paths,
    model: Model = None,
    min_face_size: MinFaceSize = None,
    threshold: Score = None,
    max_faces: MaxFaces = None,
    device: Device = None,
) -> None:
    """Find faces and their embeddings, as JSON lines."""
    query = _detect_query(model, min_face_size, threshold, max_faces)
    _work(work.embed, paths, query, None, device)


@cli.command()
def verify(
    a: Annotated[Path, typer.Argument(help="a picture")],
    b: Annotated[Path, typer.Argument(help="another picture")],
    model: Model = None,
    threshold: Annotated[float | None, typer.Option(help="similarity that makes them one person")] = None,
    far: Annotated[float | None, typer.Option(help="false accept rate the threshold is for")] = None,
    device: Device = None,
) -> None:
    """Say whether the largest faces of two pictures are of one person, as a JSON line."""
    query = _query(VerifyQuery, model=model, threshold=threshold, far=far)
    analyzer, limits = _open(device)
    files = {"file_a": str(a), "file_b": str(b)}
    try:
        pair = read(a, limits.image_bytes, "image_a"), read(b, limits.image_bytes, "image_b")
        typer.echo(line(files, work.verify(analyzer, limits, pair, query)))
    except FacetError as error:
        typer.echo(line(files, problem=problems.of_error(error, limits)))
        raise typer.Exit(1) from None


@cli.command()
def models(device: Device = None) -> None:
    """List the models, as JSON lines."""
    analyzer, _ = _open(device)
    for model in about.ModelsResponse.of(analyzer).models:
        typer.echo(model.model_dump_json())


def main() -> None:
    """The entry point of `facet` and `python -m app`."""
    cli(prog_name="facet")


def _work(
    job: Callable[..., work.Seen],
    paths: list[Path],
    query: DetectQuery,
    draw: Path | None,
    device: str | None,
) -> None:
    analyzer, limits = _open(device)
    run = Run(lambda upload: job(analyzer, limits, upload, query), limits, draw)
    if not run.all_of(paths):
        raise typer.Exit(1)


def _open(device: str | None) -> tuple[Analyzer, Limits]:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    settings = _settings(device=device)
    try:
        return load_analyzer(settings), limits_of(settings)
    except FacetError as error:
        raise _stop(f"cannot start: {' '.join(error.detail.split())}", 1) from None


def _settings(**overrides: Any) -> Settings:
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise _stop(explain(error), 2) from None


def _detect_query(
    model: str | None, min_face_size: float | None, threshold: float | None, max_faces: int | None
) -> DetectQuery:
    return _query(
        DetectQuery, model=model, min_face_size=min_face_size, threshold=threshold, max_faces=max_faces
    )


def _query(kind: type[Q], **options: Any) -> Q:
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        raise _stop(problems.of_validation(error).detail, 2) from None


def _stop(message: str, code: int) -> typer.Exit:
    typer.echo(f"facet: {message}", err=True)
    return typer.Exit(code)
