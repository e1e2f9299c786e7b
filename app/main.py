"""The application: the one place that wires settings, models, workers and routes together."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.api import about, openapi, problems, routes
from app.api.linger import Linger
from app.api.service import Limits, Service
from app.errors import BadModel, FacetError
from app.pipeline.analyzer import Analyzer
from app.pipeline.executor import Executor
from app.pipeline.warmup import warm_up
from app.runtime import store
from app.settings import Settings

log = logging.getLogger(__name__)

_ABOUT = """Faces in photographs: detection, landmarks, embedding and verification.

A picture comes as a raw `image/*` body, as the multipart part `image`, or as JSON `{"image": "<base64>"}`.
Errors are RFC 9457 problems (`application/problem+json`) with a stable `type`.
"""


def create_app(settings: Settings, analyzer: Analyzer | None = None) -> FastAPI:
    """The service. It loads and warms its models (or those of the given analyzer) once it is started.

    While that lasts it answers `/livez`, and 503 elsewhere. Where it fails, `app.state.give_up` is called,
    which ends the process by SIGTERM unless whoever runs the server sets another way.
    """
    service = Service(limits_of(settings), Executor(settings.max_concurrent, settings.max_queue))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(_start(app, service, settings, analyzer))
        try:
            yield
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await asyncio.to_thread(service.executor.close)

    app = FastAPI(
        title="Facet",
        version=about.version(),
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.service = service
    app.state.give_up = _terminate
    app.include_router(routes.router)
    app.include_router(about.router)
    app.add_middleware(Linger)
    openapi.install(app)
    problems.install(app, service.limits)
    return app


def limits_of(settings: Settings) -> Limits:
    """The settings' limits on requests."""
    return Limits(
        image_bytes=settings.max_image_bytes,
        image_pixels=settings.max_image_pixels,
        faces=settings.max_faces_limit,
        boxes=settings.max_boxes,
    )


def load_analyzer(settings: Settings) -> Analyzer:
    """The analyzer the settings describe. Raises BadModel or DeviceUnavailable."""
    models = store.load(
        settings.models_dir,
        settings.device,
        threads=settings.threads,
        memory_mb=settings.gpu_memory_mb,
        names=settings.models,
    )
    return Analyzer(
        models, {"detect": settings.detector, "landmarks": settings.landmarks, "embed": settings.embedder}
    )


async def _start(app: FastAPI, service: Service, settings: Settings, analyzer: Analyzer | None) -> None:
    def prepare() -> Analyzer:
        ready = analyzer or load_analyzer(settings)
        warm_up(ready)
        return ready

    try:
        service.open(await asyncio.to_thread(prepare))
        log.info("ready: %s", ", ".join(model.entry.name for model in service.analyzer.models))
    except FacetError as error:
        service.failure = error
    except Exception as error:
        log.exception("start-up failed")
        service.failure = BadModel(f"start-up failed: {error}")
    if service.failure is not None:
        log.critical("cannot start: %s", " ".join(service.failure.detail.split()))
        give_up: Callable[[], None] = app.state.give_up
        give_up()


def _terminate() -> None:
    signal.raise_signal(signal.SIGTERM)
