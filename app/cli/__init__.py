"""Facet: face detection, landmarks, embedding, verification and identification.

It runs as an HTTP service or on local files.

The environment variables of the settings (FACE_DEVICE, FACE_MODELS_DIR, ...) apply to every command.
"""

import sys

import typer

from app.cli import (
    bulk_commands,
    cluster_commands,
    collection_commands,
    gallery_commands,
    image_commands,
    service_commands,
)
from app.service.console import OutputError, discard_unwritten, report

_PIPE_CLOSED = 141  # 128 + SIGPIPE: the status of programs that a closed pipe ends

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for command in (
    service_commands.serve,
    image_commands.detect,
    image_commands.landmarks,
    image_commands.embed,
    image_commands.verify,
    image_commands.calibrate,
    gallery_commands.enrol,
    gallery_commands.identify,
    cluster_commands.cluster,
    bulk_commands.bulk,
    service_commands.models,
):
    cli.command()(command)
cli.add_typer(collection_commands.collections, name="collections")


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
