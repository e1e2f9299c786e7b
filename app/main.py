"""The application: the one place that wires settings, models, workers and routes together."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI

from app import draining, logs
from app.api import about, batch, openapi, problems, routes, wire
from app.api.access import Access
from app.api.intake import Held, Intake, Pace
from app.api.linger import Linger
from app.api.metrics import Metrics
from app.api.security import Keys
from app.api.service import Limits, Service
from app.errors import BadModel, FacetError, NotReady
from app.pipeline.analyzer import Analyzer
from app.pipeline.executor import Executor
from app.pipeline.observer import SILENT, Observer
from app.pipeline.warmup import Warming, warm_up
from app.runtime import store
from app.settings import Settings

log = logging.getLogger(__name__)

_ABOUT = """Faces in photographs: detection, landmarks, embedding and verification.

A picture comes as a raw `image/*` body, as the multipart part `image`, or as JSON `{"image": "<base64>"}`.
Errors are RFC 9457 problems (`application/problem+json`) with a stable `type`.
"""


def create_app(settings: Settings, analyzer: Analyzer | None = None, observer: Observer = SILENT) -> FastAPI:
    """The service. It loads and warms its models (or those of the given analyzer) once it is started.

    While that lasts it answers `/livez`, and 503 elsewhere; one of several workers does not take connections
    before it is ready. Where it fails, `app.state.give_up` is called, which ends the process by SIGTERM
    unless whoever runs the server sets another way. On SIGTERM it finishes what it has begun.
    """
    held = Held(settings.max_body_memory_mb << 20)
    metrics = Metrics(held, about.version())
    observer = metrics if observer is SILENT else observer
    service = Service(limits_of(settings), executor_of(settings, observer))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        starting = asyncio.create_task(_start(app, service, settings, analyzer, observer))
        starting.add_done_callback(lambda _: _count_models(metrics, service, settings))
        try:
            with draining.on_sigterm(service.executor, settings.grace_s) as ending:
                if settings.workers > 1:
                    await _first(starting, ending)
                    if service.failure is not None:
                        raise service.failure
                yield {"watch": metrics}
        finally:
            metrics.closed()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await asyncio.to_thread(service.executor.close)
            await asyncio.to_thread(logs.flush)

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
    app.state.metrics = metrics
    app.state.give_up = _terminate
    app.include_router(routes.router)
    app.include_router(batch.router)
    app.include_router(about.router)
    app.add_middleware(Intake, pace=pace_of(settings), held=held)
    app.add_middleware(Keys, keys=settings.keys())
    app.add_middleware(Linger)
    app.add_middleware(Access, metrics=metrics)  # the outermost
    openapi.install(app, locked=bool(settings.keys()))
    problems.install(app, service.limits)
    return app


async def _first(task: asyncio.Task[None], event: asyncio.Event) -> None:
    """Waits for the one that comes first."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def pace_of(settings: Settings) -> Pace:
    """How long the settings let a client take."""
    return Pace(
        silence=settings.silence_s,
        body=settings.body_s,
        rate=settings.body_rate,
        answer=settings.answer_s,
    )


def protocol_of(settings: Settings) -> Any:
    """What speaks HTTP on a connection, for `uvicorn.Config(http=...)`."""
    return wire.protocol(pace_of(settings), settings.max_connections)


def limits_of(settings: Settings) -> Limits:
    """The settings' limits on requests."""
    return Limits(
        image_bytes=settings.max_image_bytes,
        image_pixels=settings.max_image_pixels,
        faces=settings.max_faces_limit,
        boxes=settings.max_boxes,
        batch_images=settings.max_batch_images,
        batch_bytes=settings.max_batch_bytes,
    )


def executor_of(settings: Settings, observer: Observer = SILENT) -> Executor:
    """The settings' workers, and room for as many requests as they say."""
    cores = max(1, len(os.sched_getaffinity(0)) // settings.workers)
    workers = settings.max_concurrent or min(32, max(4, 2 * cores))
    return Executor(workers, settings.max_queue, settings.deadline_s or None, observer)


def load_analyzer(
    settings: Settings, observer: Observer = SILENT, warming: Warming | None = None
) -> Analyzer:
    """The analyzer the settings describe. Raises BadModel or DeviceUnavailable."""
    told = {} if warming is None else {"opened": warming.begin}
    models = store.load(
        settings.models_dir,
        settings.device,
        threads=settings.threads,
        memory_mb=settings.gpu_memory_mb,
        engines=settings.tensorrt_cache,
        names=settings.models,
        sharing=store.Sharing(settings.batching, observer),
        **told,
    )
    return Analyzer(
        models, {"detect": settings.detector, "landmarks": settings.landmarks, "embed": settings.embedder}
    )


async def _start(
    app: FastAPI, service: Service, settings: Settings, analyzer: Analyzer | None, observer: Observer
) -> None:
    def prepare() -> Analyzer:
        warming = Warming()
        try:
            ready = analyzer or load_analyzer(settings, observer, warming)
            warm_up(ready, warming)
        finally:
            warming.close()
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


def _count_models(metrics: Metrics, service: Service, settings: Settings) -> None:
    with suppress(NotReady):
        metrics.opened(service.analyzer, settings.max_queue)


def _terminate() -> None:
    signal.raise_signal(signal.SIGTERM)
