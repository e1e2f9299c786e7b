"""The routes about the service itself: models, health, version, metrics, problem types, and its page."""

from functools import cache
from pathlib import Path
from typing import Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from app.api import openapi
from app.api.dependencies import ServiceDep
from app.api.metrics import MEDIA_TYPE, Metrics
from app.api.security_headers import page_policy
from app.service.model_info import ModelsResponse, VersionResponse
from app.service.problems import KINDS

PAGE = Path(__file__).parent / "page"

router = APIRouter()


class Status(BaseModel):
    """The answer of a probe."""

    status: Literal["ok", "ready"]


@router.get("/models", tags=["service"], responses={s: openapi.PROBLEMS[s] for s in (401, 503)})
async def models(service: ServiceDep) -> ModelsResponse:
    """Return the loaded models, which of them are defaults, and the provider they run on."""
    return ModelsResponse.of(service.analyzer)


@router.head("/livez", include_in_schema=False)
@router.get("/livez", tags=["service"])
async def livez() -> Status:
    """Return 200 while the process answers at all."""
    return Status(status="ok")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", tags=["service"], responses={503: openapi.PROBLEMS[503]})
async def readyz(service: ServiceDep) -> Status:
    """Return 200 when the models are loaded and warm; 503 until then, and while the service stops."""
    service.check_ready()
    return Status(status="ready")


@router.head("/version", include_in_schema=False)
@router.get("/version", tags=["service"], responses={401: openapi.PROBLEMS[401]})
async def version() -> VersionResponse:
    """Return the versions of the service and of its runtime."""
    return VersionResponse.current()


@router.get(
    "/problems/{name}", tags=["service"], responses={404: openapi.problem(404, "The type does not exist.")}
)
async def problem_type(name: str) -> dict[str, Any]:
    """Return the meaning of a problem's `type`."""
    if name not in KINDS:
        raise HTTPException(404)
    kind = KINDS[name]
    return {"type": kind.uri, "title": kind.title, "status": kind.status, "about": kind.about}


@router.get(
    "/metrics",
    tags=["service"],
    response_class=PlainTextResponse,
    responses={401: openapi.PROBLEMS[401]},
)
async def metrics(request: Request) -> Response:
    """Return the service's metrics in Prometheus's text format."""
    registry: Metrics = request.app.state.metrics
    return Response(await run_sync(registry.text), media_type=MEDIA_TYPE)


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Return a page to try the service with."""
    return FileResponse(
        PAGE / "index.html", headers={"Content-Security-Policy": _page_policy()}, media_type="text/html"
    )


@router.get("/example.jpg", include_in_schema=False)
async def example() -> FileResponse:
    """Return the picture of the examples."""
    return FileResponse(PAGE / "example.jpg", media_type="image/jpeg")


@cache
def _page_policy() -> str:
    return page_policy((PAGE / "index.html").read_text(encoding="utf-8"))
