"""Builds the operations of a front from settings: connects it to the replicas, and starts those."""

import os
from importlib.util import find_spec

from app.errors import CannotStart
from app.replicas.remote_operations import RemoteOperations
from app.replicas.replica import ReplicaPlan, weights_of
from app.service.model_info import ModelsResponse, version
from app.settings import Settings
from app.wiring import limits_of, load_analyzer

_SETTINGS = (
    "calibration",
    "detector",
    "device",
    "dynamic_batching",
    "embedder",
    "gpu_memory_mb",
    "landmarks",
    "max_boxes",
    "max_faces",
    "max_image_pixels",
    "models",
    "models_dir",
    "otlp_endpoint",
    "precision",
    "tensorrt_cache",
    "threads",
    "weights",
)
"""The settings that the replicas get from the front. Those that are not set are left to the replicas."""

_THREADS_ON_GPU = 8
"""Images that a replica with a GPU processes at the same time, so that calls of its nets can be merged."""


def remote_operations(settings: Settings) -> RemoteOperations:
    """Return operations that replicas run, which are started on the cluster of the settings.

    The front loads the models on its CPU for their names, thresholds and contracts, and runs none of them.

    Args:
        settings: the settings of the service, with `ray_address`.

    Raises:
        CannotStart: Ray is not installed, or the cluster cannot be used.
        BadModel: the models cannot be loaded here or by the replicas, or differ.
    """
    if find_spec("ray") is None:
        raise CannotStart(
            "FACE_RAY_ADDRESS is set, but the packages of the extra ray are not installed. Install them "
            "(make ray, or pip install '.[ray]' in the folder of Facet), or remove the setting."
        )
    from app.replicas.cluster import RayReplicas  # imports an optional package

    analyzer = load_analyzer(settings.model_copy(update={"device": "cpu", "precision": "float"}))
    plan = replica_plan(settings, weights_of(ModelsResponse.of(analyzer, settings.weights)))
    return RemoteOperations(analyzer, limits_of(settings), RayReplicas(settings.ray_address, plan))


def replica_plan(settings: Settings, weights: dict[str, str]) -> ReplicaPlan:
    """Return what the replicas are.

    Args:
        settings: the settings of the front.
        weights: SHA-256 of the weights of each model, by name.
    """
    passed = {name: getattr(settings, name) for name in _SETTINGS if name in settings.model_fields_set}
    cpus = settings.ray_cpus or len(os.sched_getaffinity(0))
    threads = 2 * cpus
    if settings.ray_gpus:
        passed["device"] = "cuda" if settings.device == "auto" else settings.device  # never a silent CPU
        threads = max(_THREADS_ON_GPU, threads)
    else:
        passed |= {"device": "cpu", "threads": settings.threads or cpus}
    count = settings.ray_replica_range
    return ReplicaPlan(version(), passed, threads, weights, count, cpus, settings.ray_gpus)
