"""The routes about the service itself: models, health, version, metrics and problem types."""

from typing import Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.api import openapi
from app.api.dependencies import ServiceDep
from app.api.metrics import MEDIA_TYPE, Metrics
from app.api.problem_handlers import root_path
from app.service.model_info import ModelsResponse, VersionResponse
from app.service.problems import KINDS, Kind

router = APIRouter()


class Status(BaseModel):
    """The response of a health check."""

    status: Literal["ok", "ready", "degraded"] = Field(
        description="`ok` from `/livez`; `ready` from `/readyz`, or `degraded` if the service accepts "
        "requests although fewer worker processes are ready than `FACE_WORKERS`, or the gallery is "
        "unavailable."
    )
    gallery: Literal["unavailable"] | None = Field(
        None,
        description="`unavailable` if the gallery cannot be read: its routes get 503, and the others work. "
        "Otherwise the field is missing.",
        exclude_if=lambda gallery: gallery is None,
    )


@router.head("/models", include_in_schema=False)
@router.get(
    "/models",
    tags=["service"],
    summary="List the models",
    response_description="The loaded models.",
    responses={s: openapi.PROBLEMS[s] for s in (401, 503)},
)
async def models(service: ServiceDep) -> ModelsResponse:
    """Return the loaded models with their licences, sources, thresholds and execution providers."""
    return service.operations.models(service.weights)


@router.head("/livez", include_in_schema=False)
@router.get(
    "/livez", tags=["service"], summary="Check liveness", response_description="The process is running."
)
async def livez() -> Status:
    """Return 200 while the process is running, whether the models are loaded or not."""
    return Status(status="ok")


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    tags=["service"],
    summary="Check readiness",
    response_description="The service accepts requests.",
    responses={
        503: openapi.problem(503, "The models are loading or warming up, or the service is stopping.")
    },
)
async def readyz(service: ServiceDep) -> Status:
    """Return 200 while the service accepts requests: when the models are loaded and warm, until it stops.

    A gallery that is unavailable does not change the status code, because the other routes work without it.
    """
    service.check_ready()
    gallery = "unavailable" if service.lacks_gallery else None
    return Status(status="degraded" if service.is_degraded or gallery else "ready", gallery=gallery)


@router.head("/version", include_in_schema=False)
@router.get(
    "/version",
    tags=["service"],
    summary="Show the versions",
    response_description="The versions.",
    responses={401: openapi.PROBLEMS[401]},
)
async def version(service: ServiceDep) -> VersionResponse:
    """Return the versions of Facet, ONNX Runtime and Python, and which weights the service may use."""
    return VersionResponse.current(service.weights)


@router.head("/problems/{name}", include_in_schema=False)
@router.get(
    "/problems/{name}",
    tags=["service"],
    summary="Explain a problem type",
    response_description="The type, its title, its HTTP status and its meaning.",
    responses={404: openapi.problem(404, "There is no problem type of this name.")},
)
async def problem_type(
    request: Request,
    name: Annotated[str, PathParameter(description="Last part of the `type` of a problem.")],
) -> dict[str, Any]:
    """Return the meaning of a problem type."""
    kind = _kind(name)
    uri = f"{root_path(request.scope)}{kind.uri}"
    return {"type": uri, "title": kind.title, "status": kind.status, "about": kind.about}


@router.head("/metrics", include_in_schema=False)
@router.get(
    "/metrics",
    tags=["service"],
    summary="Read the metrics",
    response_description="The metrics in the text format of Prometheus.",
    response_class=PlainTextResponse,
    responses={401: openapi.PROBLEMS[401]},
)
async def metrics(request: Request) -> Response:
    """Return the metrics of the service in the text format of Prometheus."""
    registry: Metrics = request.app.state.metrics
    return Response(await run_sync(registry.text), media_type=MEDIA_TYPE)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise HTTPException(404)
    return KINDS[name]
