"""Builds limits, admission control and the analyzer from settings, for the service and the command line."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from app.errors import BadModel, CannotStart, UnknownModel
from app.pipeline.analyzer import Analyzer
from app.runtime import model_store
from app.runtime.admission import Admission
from app.runtime.manifest import free_models, models_for, read_manifest, select
from app.runtime.model_store import LoadOptions
from app.runtime.session import ModelSession
from app.runtime.telemetry import NULL_TELEMETRY, Telemetry
from app.service.limits import Limits
from app.settings import Settings
from app.vision.spec import SimilarityCalibration, Task

if TYPE_CHECKING:
    from app.runtime.tracing import OtelTracer

_OTHER_THREADS = 8

_REMOTE_CALLS = 64
"""Images that the replicas of a Ray cluster process for one front, or that wait there."""

_OTEL_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def limits_of(settings: Settings) -> Limits:
    """Return the limits on requests that the settings define."""
    return Limits(
        image_bytes=settings.max_image_bytes,
        image_pixels=settings.max_image_pixels,
        faces=settings.max_faces,
        boxes=settings.max_boxes,
        batch_images=settings.max_batch_images,
        batch_bytes=settings.max_batch_bytes,
        import_bytes=settings.max_import_bytes,
        cluster_images=settings.max_cluster_images,
        cluster_bytes=settings.max_cluster_bytes,
        cluster_faces=settings.max_cluster_faces,
        cluster_timeout_s=settings.cluster_timeout_s,
    )


def admission_of(settings: Settings, telemetry: Telemetry = NULL_TELEMETRY) -> Admission:
    """Return the admission control: the worker threads and the queue in front of them."""
    timeout_s = settings.request_timeout_s or None
    return Admission(service_workers(settings), settings.max_queue, timeout_s, telemetry)


def tracer_of(settings: Settings, version: str) -> "OtelTracer | None":
    """Return the tracer, which begins to send; None if the settings name no collector.

    Args:
        settings: the settings.
        version: version of Facet, which the spans have.

    Raises:
        CannotStart: a package is missing, or a variable OTEL_* is invalid.
    """
    if not settings.otlp_endpoint:
        return None
    if not all(map(_is_installed, _OTEL_PACKAGES)):
        raise CannotStart(
            "FACE_OTLP_ENDPOINT is set, but the packages of the extra otel are not installed. Install them "
            "(make otel, or pip install '.[otel]' in the folder of Facet), or remove the setting."
        )
    from app.runtime.tracing import OtelTracer  # imports optional packages

    return OtelTracer(settings.otlp_endpoint, version)


def check_tracing(settings: Settings) -> None:
    """Check that worker processes can send traces; see `tracer_of` for the errors."""
    tracer = tracer_of(settings, "")
    if tracer is not None:
        tracer.close(1)


def worker_threads(settings: Settings) -> int:
    """Return the number of worker threads of a process."""
    cores = max(1, len(os.sched_getaffinity(0)) // settings.workers)
    return settings.max_concurrent or min(32, max(4, 2 * cores))


def service_workers(settings: Settings) -> int:
    """Return the number of worker threads of a process of the service; with Ray, they wait for replicas."""
    if settings.ray_address:
        return settings.max_concurrent or _REMOTE_CALLS
    return worker_threads(settings)


def model_threads(settings: Settings) -> int:
    """Return the number of threads that loaded models use at most, with a margin for short-lived threads.

    Each net that uses all cores for one call has a pool of threads; the calling thread is one of them. The
    search of the gallery has a thread per core and one more.
    """
    threads = settings.threads or len(os.sched_getaffinity(0))
    nets = 0
    with suppress(BadModel):  # loading the models reports it
        entries = select(read_manifest(settings.models_dir), settings.models)
        nets = sum(len(entry.files) for entry in entries if entry.task == "landmarks")
    return nets * (threads - 1) + threads + threads + 1 + _OTHER_THREADS


def service_threads(settings: Settings) -> int:
    """Return the number of threads that the processes of the service use at most."""
    cores = len(os.sched_getaffinity(0))
    own = model_threads(settings) + service_workers(settings) + min(32, cores + 4)  # the pool of asyncio
    return own if settings.workers == 1 else settings.workers * (own + cores + 1) + 1  # those of numpy


def load_analyzer(
    settings: Settings,
    telemetry: Telemetry = NULL_TELEMETRY,
    opened: Callable[[ModelSession], None] = lambda session: None,
    only: Mapping[Task, str | None] | None = None,
    also: frozenset[str] = frozenset(),
) -> Analyzer:
    """Load models and return the analyzer that owns them.

    Args:
        settings: which models to load, and the device.
        telemetry: receives an event for every call of a net.
        opened: callback, called with each session as soon as it is open.
        only: the tasks to load a model for, each with a model name, or None for the default model. If `only`
            is None, all models of the settings are loaded.
        also: names of further models to load if `only` is not None. Those that the manifest does not list, or
            the settings do not allow, are left out.

    Returns:
        The analyzer.

    Raises:
        BadModel: a model file or the manifest is missing, changed or invalid, a setting names an unknown
            model, or the calibration file does not fit the models.
        DeviceUnavailable: the device cannot run the models.
        UnknownModel: `only` names an unknown model.
    """
    defaults: dict[Task, str | None] = {
        "detect": settings.detector,
        "landmarks": settings.landmarks,
        "embed": settings.embedder,
    }
    names = allowed_models(settings)
    calibrations = _calibrations(settings, names, strict=only is None)
    if only is not None:
        listed = {entry.name for entry in read_manifest(settings.models_dir).models}
        names = _names(settings, names, defaults, only) | (also & (listed if names is None else names))
        defaults = {task: name or defaults[task] for task, name in only.items()}
    options = LoadOptions(
        threads=settings.threads,
        memory_mb=settings.gpu_memory_mb,
        engine_cache=settings.tensorrt_cache,
        dynamic_batching=settings.dynamic_batching,
        precision=settings.precision,
        telemetry=telemetry,
        calibrations=calibrations,
    )
    return Analyzer(model_store.load(settings.models_dir, settings.device, names, options, opened), defaults)


def allowed_models(settings: Settings) -> frozenset[str] | None:
    """Return the names of the models that the settings allow; None if they allow all.

    Raises:
        BadModel: a setting names a model that is not free, and `weights` is `free`; or a manifest is missing
            or invalid.
    """
    if settings.weights == "all":
        return settings.models
    free = free_models(settings.models_dir)
    listed = {entry.name for entry in read_manifest(settings.models_dir).models}
    chosen = {
        "FACE_MODELS": settings.models or (),
        "FACE_DETECTOR": (settings.detector,),
        "FACE_LANDMARKS": (settings.landmarks,),
        "FACE_EMBEDDER": (settings.embedder,),
    }
    for variable, names in chosen.items():
        if restricted := sorted(name for name in names if name and name in listed - free):
            raise BadModel(
                f"{variable} names {', '.join(restricted)}, but FACE_WEIGHTS=free excludes models that are "
                "for research only or have no licence. Remove the name, or set FACE_WEIGHTS=all."
            )
    return settings.models or free


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package that contains it is missing
        return False


def _calibrations(
    settings: Settings, allowed: frozenset[str] | None, *, strict: bool
) -> dict[str, SimilarityCalibration]:
    """Return the calibrations of the calibration file by embedder; none if no file is set.

    Args:
        settings: the settings.
        allowed: names of the models that the settings allow; None allows all.
        strict: whether each calibrated embedder must be among the loaded models.

    Raises:
        BadModel: the file does not fit the models, or a setting names an unknown model.
    """
    if settings.calibration is None:
        return {}
    manifest = read_manifest(settings.models_dir)
    (detector,) = _names(settings, allowed, {"detect": settings.detector}, {"detect": None})
    loaded = {entry.name for entry in select(manifest, allowed)} if strict else None
    return settings.calibration.calibrations(manifest, detector, loaded)


def _names(
    settings: Settings,
    among: frozenset[str] | None,
    defaults: Mapping[Task, str | None],
    only: Mapping[Task, str | None],
) -> frozenset[str]:
    """Return the names of the models that the tasks need.

    Raises:
        BadModel: a setting names an unknown model.
        UnknownModel: `only` names an unknown model, or no model performs a task.
    """
    names: frozenset[str] = frozenset()
    for task, name in only.items():
        try:
            wanted = {task: name or defaults[task]}
            names |= models_for(settings.models_dir, wanted, among)
        except UnknownModel as error:
            if name is None and defaults[task] is not None:
                raise BadModel(error.detail) from None
            raise
    return names
