"""The application: connects settings, models, worker threads, middleware and routes."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from anyio.to_thread import run_sync
from fastapi import FastAPI

from app import logs
from app.api import (
    batch_routes,
    cluster_routes,
    collection_routes,
    console_routes,
    face_routes,
    openapi,
    people_routes,
    problem_handlers,
    status_routes,
)
from app.api.metrics import Metrics
from app.api.middleware.access_log import AccessLog
from app.api.middleware.allowed_hosts import ANY, AllowedHosts
from app.api.middleware.api_keys import ApiKeys
from app.api.middleware.request_path import IgnoreTrailingSlash, RequestPath
from app.api.middleware.tracing import Tracing
from app.api.route_table import RouteTable
from app.api.transport.accept_errors import AcceptErrors
from app.api.transport.body_limits import BodyLimits
from app.api.transport.h11_protocol import limited_protocol
from app.api.transport.memory_budget import MemoryBudget
from app.api.transport.timeouts import ClientTimeouts
from app.errors import BadModel, FacetError, GalleryUnavailable, NotReady
from app.gallery.gallery import Gallery
from app.gallery_wiring import gallery_of, has_gallery
from app.keys import AcceptedKeys
from app.pipeline.analyzer import Analyzer
from app.pipeline.warmup import WarmUp, warm_up
from app.runtime.memory_trim import trim_memory
from app.runtime.shutdown import on_sigterm
from app.runtime.telemetry import Telemetry
from app.service.face_service import FaceService
from app.service.model_info import version
from app.service.operations import Operations
from app.settings import Settings
from app.wiring import admission_of, limits_of, load_analyzer, tracer_of

log = logging.getLogger(__name__)

_GALLERY_INTERVAL_S = 1.0

_SPANS_TIMEOUT_S = 2.0
"""Maximum seconds at the end for the last spans, and at most a tenth of the shutdown timeout."""

_DESCRIPTION = """Face detection, landmarks, embedding and verification on photographs; a gallery of people.

Send an image as a raw `image/*` body, as the multipart part `image`, or as JSON `{"image": "<base64>"}`.
Errors are RFC 9457 problems (`application/problem+json`) with a stable `type`.
"""


def create_app(
    settings: Settings, analyzer: Analyzer | None = None, telemetry: Telemetry | None = None
) -> FastAPI:
    """Return the service as an ASGI application, which loads and warms up its models when it starts.

    A single process accepts connections at once, and answers requests that need the models with 503 until it
    is ready. One of several worker processes accepts no connection before it is ready. If the start fails,
    the application calls `app.state.give_up`, which raises SIGTERM unless the server replaces it. On SIGTERM
    the application finishes the admitted requests. `app.state.keys` has the valid API keys, which the server
    may replace.

    Args:
        settings: the settings of the service, see docs/reference/settings.md.
        analyzer: models that are already loaded; if None, the application loads those of the settings.
        telemetry: receives the events of the pipeline; if None, they become the metrics of the service.

    Raises:
        CannotStart: the settings ask for traces, and a package is missing or a variable OTEL_* is invalid.
    """
    bodies = MemoryBudget(settings.max_body_memory_mb << 20)
    answers = MemoryBudget(settings.max_response_memory_mb << 20)
    metrics = Metrics(bodies, version())
    telemetry = telemetry or metrics
    tracer = tracer_of(settings, version())
    service = FaceService(limits_of(settings), admission_of(settings, telemetry), settings.weights)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        asyncio.get_running_loop().set_exception_handler(AcceptErrors())
        trimming = asyncio.create_task(trim_memory())
        following = asyncio.create_task(_follow_gallery(service))
        starting = asyncio.create_task(_start(app, service, settings, analyzer, telemetry))
        starting.add_done_callback(lambda _: _record_models(metrics, service, settings))
        try:
            delay = settings.drain_delay_s
            with on_sigterm(service.admission, settings.shutdown_timeout_s, delay) as stopping:
                if settings.workers > 1:
                    await _first(starting, stopping)
                yield {"telemetry": metrics}
        finally:
            metrics.service_closed()
            tasks = (trimming, following, starting)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            service.admission.close()  # not in a thread: there may be no memory for one
            service.close()
            if tracer is not None:
                tracer.close(min(_SPANS_TIMEOUT_S, settings.shutdown_timeout_s / 10))
            logs.flush()

    app = FastAPI(
        title="Facet",
        version=version(),
        description=_DESCRIPTION,
        openapi_tags=openapi.TAGS,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        # It would send the query, and the messages of errors.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.service = service
    app.state.metrics = metrics
    app.state.give_up = _terminate
    routers = (
        face_routes.router,
        batch_routes.router,
        cluster_routes.router,
        people_routes.router,
        collection_routes.router,
        console_routes.router,
        status_routes.router,
    )
    for router in routers:
        app.include_router(router)
    console_routes.mount(app)
    app.add_middleware(IgnoreTrailingSlash)
    app.state.keys = keys = AcceptedKeys(settings.keys())
    if keys:
        app.add_middleware(ApiKeys, keys=keys)
    if ANY not in (hosts := settings.hosts()):
        app.add_middleware(AllowedHosts, hosts=hosts)
    app.add_middleware(BodyLimits, timeouts=timeouts_of(settings), requests=bodies, responses=answers)
    app.add_middleware(AccessLog, metrics=metrics)
    if tracer is not None:
        app.add_middleware(Tracing, tracer=tracer)
    app.add_middleware(  # added last, so it is the outermost
        RequestPath, root_path=settings.root_path, trusted_proxies=settings.proxies()
    )
    openapi.install(app, locked=bool(keys))
    table = RouteTable([*app.routes, *(route for router in routers for route in router.routes)])
    problem_handlers.install(app, service.limits, table)
    return app


def timeouts_of(settings: Settings) -> ClientTimeouts:
    """Return the timeouts for clients."""
    return ClientTimeouts(
        read=settings.read_timeout_s,
        body=settings.body_timeout_s,
        min_body_rate=settings.min_body_rate,
        write=settings.write_timeout_s,
    )


def protocol_of(settings: Settings) -> Any:
    """Return the protocol class for connections, as `uvicorn.Config(http=...)` takes it."""
    return limited_protocol(
        timeouts_of(settings),
        settings.max_connections,
        settings.root_path,
        settings.max_connections_per_client or max(1, settings.max_connections // 2),
        settings.proxies(),
    )


async def _first(task: asyncio.Task[None], event: asyncio.Event) -> None:
    """Wait until the task is done or the event is set."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _start(
    app: FastAPI, service: FaceService, settings: Settings, analyzer: Analyzer | None, telemetry: Telemetry
) -> None:
    def prepare() -> tuple[Operations, Gallery | None]:
        ready = _operations(settings, analyzer, telemetry)
        gallery = gallery_of(settings, ready.analyzer, telemetry)
        if gallery is not None and has_gallery(settings):
            try:
                gallery.tick()
            except GalleryUnavailable as error:
                log.error("The gallery cannot be used: %s", error.detail)
        return ready, gallery

    try:
        service.open(*await run_sync(prepare, abandon_on_cancel=True))
        models = service.operations.models(settings.weights).models
        names = ", ".join(model.name for model in models)
        int8 = ", ".join(model.name for model in models if model.precision == "int8") or "none"
        log.info("ready: %s (weights: %s; int8: %s)", names, settings.weights, int8)
    except FacetError as error:
        service.failure = error
    except Exception as error:
        log.exception("The start failed with an unexpected error.")
        service.failure = BadModel(f"The start failed with an unexpected error: {error}.")
    if service.failure is not None:
        log.critical("cannot start: %s", " ".join(service.failure.detail.split()))
        give_up: Callable[[], None] = app.state.give_up
        give_up()


def _operations(settings: Settings, analyzer: Analyzer | None, telemetry: Telemetry) -> Operations:
    """Return the operations, whose models are warm: those of this process, or those of replicas."""
    if settings.ray_address and analyzer is None:
        from app.replicas.front import remote_operations  # is not needed otherwise

        return remote_operations(settings)
    runs = WarmUp()
    try:
        ready = analyzer or load_analyzer(settings, telemetry, runs.begin)
        warm_up(ready, runs)
    finally:
        runs.close()
    return Operations(ready, limits_of(settings))


async def _follow_gallery(service: FaceService) -> None:
    """Let the gallery take over changes of other processes, and delete what has expired, every second."""
    was_usable = True
    while True:
        await asyncio.sleep(_GALLERY_INTERVAL_S)
        try:
            if (gallery := service.used_gallery) is not None:
                await run_sync(gallery.tick)
            was_usable = True
        except GalleryUnavailable as error:
            if was_usable:
                log.error("The gallery cannot be used: %s", error.detail)
            was_usable = False
        except Exception:
            log.exception("The gallery failed with an unexpected error.")


def _record_models(metrics: Metrics, service: FaceService, settings: Settings) -> None:
    with suppress(NotReady):
        faces = 0 if settings.is_gallery_off else settings.max_gallery_faces
        metrics.service_opened(service.analyzer, settings.max_queue, faces)


def _terminate() -> None:
    signal.raise_signal(signal.SIGTERM)
