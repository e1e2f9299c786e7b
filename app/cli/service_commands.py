"""The commands `serve` and `models`."""

import logging
from typing import Annotated

import typer

from app.cli.common import Device, cannot_start, leave, open_models, settings_of
from app.errors import FacetError
from app.runtime.process_limits import require_threads
from app.service.console import emit
from app.service.model_info import ModelInfo
from app.settings import is_loopback


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    device: Device = None,
) -> None:
    """Run the HTTP service."""
    from app import server  # imported here, so that the other commands start without FastAPI and uvicorn

    settings = settings_of(host=host, port=port, device=device)
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
        cannot_start(error)
    leave(status)


def models(device: Device = None) -> None:
    """List the loaded models. Print one JSON line per model."""
    operations = open_models(settings_of(device=device), None)
    for model in operations.analyzer.models:
        emit(ModelInfo.of(model, operations.analyzer).model_dump_json())
