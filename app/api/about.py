"""What the service says of itself: its models, health, version and types of problem, and its page."""

import hashlib
import platform
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.api import openapi
from app.api.deps import ServiceDep
from app.api.headers import page_policy
from app.api.metrics import MEDIA_TYPE, Metrics
from app.api.problems import KINDS
from app.pipeline.analyzer import Analyzer
from app.runtime.session import runtime_version
from app.runtime.store import FileEntry, LoadedModel
from app.vision.align import Template
from app.vision.points import Scheme
from app.vision.spec import (
    Calibration,
    ComparedSpec,
    EmbedderSpec,
    LandmarkSpec,
    ONetSpec,
    PNetSpec,
    Probability,
    RNetSpec,
    Task,
)

_HERE = Path(__file__).parent

router = APIRouter()


class Input(BaseModel):
    """What a model's nets read."""

    dtype: Literal["uint8"] = "uint8"
    layout: Literal["NHWC"] = "NHWC"
    colour: Literal["RGB"] = "RGB"
    size: int | None = Field(
        None,
        description="side of the square crop in pixels; null for whole pictures, and for a model of `parts`",
    )
    template: Template | None = Field(None, description="where the five points lie in the crop")


class StageThreshold(BaseModel):
    """The score a stage of a cascade asks for; the last one is the default of `threshold`."""

    stage: str
    threshold: float


class ModelInfo(BaseModel):
    """A model the service has loaded."""

    name: str = Field(examples=["sface"])
    task: Task
    default: bool = Field(description="whether it is taken when a request names no model")
    sha256: str = Field(
        description="of the model's file; of a cascade, of its files' hexadecimal sha256s, joined in the "
        "order of `files`"
    )
    files: list[FileEntry]
    licence: str = Field(examples=["Apache-2.0"])
    research_only: bool = Field(description="whether a training set's terms forbid commercial use")
    source: str
    source_sha256: str
    input: Input
    provider: str = Field(description="ONNX Runtime's provider in use", examples=["CPUExecutionProvider"])
    thresholds: list[StageThreshold | Calibration]
    scheme: Scheme | None = Field(None, description="of landmark models")
    dimension: int | None = Field(None, description="of embedders")
    metric: Literal["cosine", "probability"] | None = Field(None, description="of embedders")
    default_far: float | None = Field(None, description="of embedders: the false accept rate of the default")
    calibrated_on: str | None = Field(None, description="of embedders: the pairs its thresholds come from")
    probability: Probability | None = Field(
        None, description="of embedders: what makes a similarity the probability that `/verify` answers"
    )
    parts: list[str] = Field([], description="the models it is made of, in order; most have none")

    @classmethod
    def of(cls, model: LoadedModel, analyzer: Analyzer) -> "ModelInfo":
        entry = model.entry
        sessions = list(model.sessions.values())
        specs = [session.spec for session in sessions]
        last = next((spec for spec in specs if isinstance(spec, ComparedSpec)), specs[-1])
        info = cls(
            name=entry.name,
            task=entry.task,
            default=entry.name == getattr(analyzer.defaults, entry.task),
            sha256=_sha256([file.sha256 for file in entry.files]),
            files=list(entry.files),
            licence=" AND ".join(dict.fromkeys(spec.licence for spec in specs)),
            research_only=any(session.spec.research_only for session in sessions),
            source="; ".join(dict.fromkeys(spec.source for spec in specs)),
            source_sha256=last.source_sha256,
            input=Input(),
            provider=sessions[-1].provider,
            thresholds=[],
            parts=list(entry.parts),
        )
        if isinstance(last, LandmarkSpec):
            info.input = Input(size=last.size, template=last.template)
            info.scheme = last.scheme
        elif isinstance(last, ComparedSpec):
            if isinstance(last, EmbedderSpec):
                info.input = Input(size=last.size, template=last.template)
            info.thresholds = list(last.thresholds)
            info.probability = last.probability
            info.dimension, info.metric = last.dimension, last.metric
            info.default_far, info.calibrated_on = last.default_far, last.calibrated_on
        else:
            info.thresholds = [
                StageThreshold(stage=kind, threshold=session.spec.threshold)
                for kind, session in model.sessions.items()
                if isinstance(session.spec, PNetSpec | RNetSpec | ONetSpec)
            ]
        return info


class ModelsResponse(BaseModel):
    """Every model loaded."""

    models: list[ModelInfo]

    @classmethod
    def of(cls, analyzer: Analyzer) -> "ModelsResponse":
        return cls(models=[ModelInfo.of(model, analyzer) for model in analyzer.models])


class Status(BaseModel):
    """A probe's answer."""

    status: Literal["ok", "ready"]


class VersionResponse(BaseModel):
    """What runs."""

    version: str = Field(examples=["0.1.0"])
    onnxruntime: str = Field(examples=["1.31.1"])
    python: str = Field(examples=["3.11.7"])


def _sha256(hashes: list[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


@cache
def _page_policy(path: Path) -> str:
    return page_policy(path.read_text(encoding="utf-8"))


@cache
def version() -> str:
    """The service's version: of the installed package, or of the checkout it runs from."""
    try:
        return metadata.version("facet")
    except metadata.PackageNotFoundError:
        project = _HERE.parent.parent / "pyproject.toml"
        if not project.exists():
            return "unknown"
        return str(tomllib.loads(project.read_text())["project"]["version"])


@router.get("/models", tags=["service"], responses={s: openapi.PROBLEMS[s] for s in (401, 503)})
async def models(service: ServiceDep) -> ModelsResponse:
    """The models loaded, which of them are the defaults, and where they run."""
    return ModelsResponse.of(service.analyzer)


@router.head("/livez", include_in_schema=False)
@router.get("/livez", tags=["service"])
async def livez() -> Status:
    """Whether the process answers at all."""
    return Status(status="ok")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", tags=["service"], responses={503: openapi.PROBLEMS[503]})
async def readyz(service: ServiceDep) -> Status:
    """Whether the models are loaded and warm; 503 until then, and while the service ends."""
    _ = service.ready
    return Status(status="ready")


@router.head("/version", include_in_schema=False)
@router.get("/version", tags=["service"], name="version", responses={401: openapi.PROBLEMS[401]})
async def show_version() -> VersionResponse:
    """The versions of the service and of what it runs on."""
    return VersionResponse(version=version(), onnxruntime=runtime_version(), python=platform.python_version())


@router.get(
    "/problems/{name}", tags=["service"], responses={404: openapi.problem(404, "There is no such type.")}
)
async def problem_type(name: str) -> dict[str, Any]:
    """What a type of problem means: the addresses that `type` names in an error."""
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
async def show_metrics(request: Request) -> Response:
    """What the service counts of itself, in Prometheus's text format."""
    counted: Metrics = request.app.state.metrics
    return Response(await run_sync(counted.text), media_type=MEDIA_TYPE)


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """A page to try the service with."""
    path = _HERE / "page.html"
    policy = {"Content-Security-Policy": _page_policy(path)}
    return FileResponse(path, headers=policy, media_type="text/html")


@router.get("/example.jpg", include_in_schema=False)
async def example() -> FileResponse:
    """The picture of the examples."""
    return FileResponse(_HERE / "example.jpg", media_type="image/jpeg")
