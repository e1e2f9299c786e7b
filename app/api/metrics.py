"""Metrics for Prometheus. Their names begin with `face_`; docs/reference/metrics.md lists them.

A single process keeps its metrics in memory. Several worker processes share them in a folder, so that each of
them can report the metrics of all. The environment variable PROMETHEUS_MULTIPROC_DIR must name this folder
before this module is imported.
"""

import os
import platform
import threading
import time
from contextlib import suppress
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from app import logs
from app.api import shared_metrics
from app.api.transport.memory_budget import MemoryBudget
from app.pipeline.analyzer import Analyzer
from app.runtime.device import runtime_version
from app.runtime.gpu_memory import used_and_total
from app.runtime.telemetry import GalleryAction, RejectReason, Telemetry

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the folder in which worker processes share their metrics."""

_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_FACE_BUCKETS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_SAMPLE_INTERVAL_S = 1.0


class Metrics(Telemetry):
    """The telemetry of the service, as Prometheus metrics.

    Args:
        bodies: the memory budget of the request bodies, which is reported as a metric.
        version: version of Facet, reported as a label.
    """

    def __init__(self, bodies: MemoryBudget, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # they double the number of series
        self._registry = own = CollectorRegistry()
        self._bodies = bodies
        self._requests = Counter(
            "face_requests", "Answered requests.", ["method", "route", "status"], registry=own
        )
        self._request_seconds = Histogram(
            "face_request_seconds",
            "Seconds from the head of a request to the end of its response.",
            ["route"],
            registry=own,
            buckets=_SECONDS_BUCKETS,
        )
        self._in_progress = _gauge(own, "face_requests_in_progress", "Requests that are not answered yet.")
        self._stage_seconds = Histogram(
            "face_stage_seconds",
            "Seconds that an image spent in a stage.",
            ["stage"],
            registry=own,
            buckets=_SECONDS_BUCKETS,
        )
        net = ["model", "net"]
        self._batch_items = Histogram(
            "face_batch_items", "Items in one call of a net.", net, registry=own, buckets=_SIZE_BUCKETS
        )
        self._batch_requests = Histogram(
            "face_batch_requests",
            "Requests that were merged into one call of a net.",
            net,
            registry=own,
            buckets=_SIZE_BUCKETS,
        )
        self._waiting = _gauge(
            own, "face_queue_depth", "Requests and images of batches that wait for a worker thread."
        )
        self._running = _gauge(
            own, "face_queue_running", "Requests and images of batches on a worker thread."
        )
        self._capacity = _gauge(own, "face_queue_capacity", "Maximum number of waiting requests.")
        self._faces = Counter("face_faces", "Faces in responses.", registry=own)
        self._faces_each = Histogram(
            "face_faces_per_answer", "Faces in one response.", registry=own, buckets=_FACE_BUCKETS
        )
        self._problems = Counter("face_problems", "Requests that got a problem.", ["type"], registry=own)
        self._rejected = Counter(
            "face_rejected",
            "Requests and connections that were refused or abandoned.",
            ["reason"],
            registry=own,
        )
        self._exhausted = Counter(
            "face_device_memory_exhausted",
            "Calls of a net that failed because the device had not enough memory.",
            net,
            registry=own,
        )
        self._body_bytes = _gauge(own, "face_body_bytes", "Bytes of request bodies in memory.")
        self._connections = _gauge(own, "face_connections", "Open connections.")
        self._collections, self._people, self._gallery_faces = (
            _gauge(own, f"face_gallery_{kind}", f"{kind.capitalize()} in the gallery.", mode="livemostrecent")
            for kind in ("collections", "people", "faces")
        )
        self._gallery_capacity = _gauge(
            own, "face_gallery_capacity", "Maximum number of faces in the gallery.", mode="livemax"
        )
        self._gallery_usable = _gauge(
            own, "face_gallery_usable", "Whether the file of the gallery can be used.", mode="livemin"
        )
        self._gallery_usable.set(1)
        self._gallery_erasing = _gauge(
            own,
            "face_gallery_erasing",
            "Whether deleted or expired vectors are still in the files of the gallery.",
            mode="livemax",
        )
        self._gallery_changes = Counter(
            "face_gallery_changes", "Changes and exports of the gallery.", ["action"], registry=own
        )
        self._identified = Counter(
            "face_gallery_identified", "Faces that were searched in the gallery.", ["result"], registry=own
        )
        self._models = _gauge(
            own, "face_model_info", "Loaded models.", ["model", "task", "provider", "default"], "livemax"
        )
        build = _gauge(
            own, "face_build_info", "Versions in use.", ["version", "onnxruntime", "python"], "livemax"
        )
        build.labels(version, runtime_version(), platform.python_version()).set(1)
        self._ready = _gauge(own, "face_ready", "Processes that are ready.")
        self._ready.set(0)
        self._resident = _gauge(own, "face_resident_memory_bytes", "Resident memory of the processes.")
        self._cpu = Counter("face_cpu_seconds", "CPU time of the processes in seconds.", registry=own)
        self._device = _gauge(
            own, "face_device_memory_bytes", "Used and total memory of a GPU.", ["device", "kind"], "livemax"
        )
        self._dropped = Counter("face_log_dropped", "Dropped log lines.", registry=own)
        self._devices: list[int] = []
        self._lock = threading.Lock()
        self._sampled = float("-inf")
        self._reported_cpu = 0.0
        self._reported_dropped = 0

    def service_opened(self, analyzer: Analyzer, capacity: int, gallery_faces: int = 0) -> None:
        """Record that the models are loaded and warm.

        Args:
            analyzer: the loaded models.
            capacity: maximum number of waiting requests.
            gallery_faces: maximum number of faces in the gallery; 0 if it is switched off.
        """
        for model in analyzer.models:
            entry = model.entry
            provider = list(model.sessions.values())[-1].provider
            default = str(entry.name == analyzer.defaults.get(entry.task)).lower()
            self._models.labels(entry.name, entry.task, provider, default).set(1)
        self._capacity.set(capacity)
        self._gallery_capacity.set(gallery_faces)
        self._ready.set(1)

    def service_closed(self) -> None:
        """Record that the service accepts no more requests."""
        self._ready.set(0)

    def request_started(self) -> None:
        """Record a request whose head has arrived."""
        self._in_progress.inc()

    def request_finished(self, method: str, route: str, status: int, seconds: float) -> None:
        """Record the end of a request.

        Args:
            method: the HTTP method.
            route: the path pattern of the route.
            status: the HTTP status; 499 if the client disconnected before the response.
            seconds: duration of the request.
        """
        self._in_progress.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)
        self.sample()

    def problem(self, slug: str) -> None:
        """Record a request that got a problem.

        Args:
            slug: the last part of the URI of the problem type.
        """
        self._problems.labels(slug).inc()

    def stage(self, name: str, seconds: float) -> None:
        """Record the time that an image spent in a stage."""
        self._stage_seconds.labels(name).observe(seconds)

    def batch(self, model: str, stage: str, requests: int, items: int) -> None:
        """Record one call of a net."""
        self._batch_items.labels(model, stage).observe(items)
        self._batch_requests.labels(model, stage).observe(requests)

    def queue_depth(self, waiting: int, running: int) -> None:
        """Record the numbers of jobs that wait for a worker thread, and that have one."""
        self._waiting.set(waiting)
        self._running.set(running)

    def rejected(self, reason: RejectReason) -> None:
        """Record a request or a connection that was refused or abandoned."""
        self._rejected.labels(reason).inc()

    def faces(self, count: int) -> None:
        """Record the number of faces in a response."""
        self._faces.inc(count)
        self._faces_each.observe(count)

    def device_memory_exhausted(self, model: str, stage: str, items: int) -> None:
        """Record a batch that the device had not enough memory for."""
        self._exhausted.labels(model, stage).inc()

    def connections(self, count: int) -> None:
        """Record the number of open connections."""
        self._connections.set(count)

    def gallery_size(self, collections: int, people: int, faces: int) -> None:
        """Record the numbers of collections, people and faces in the gallery."""
        self._collections.set(collections)
        self._people.set(people)
        self._gallery_faces.set(faces)

    def gallery_state(self, usable: bool, erasing: bool) -> None:
        """Record the state of the gallery."""
        self._gallery_usable.set(usable)
        self._gallery_erasing.set(erasing)

    def gallery_action(self, action: GalleryAction) -> None:
        """Record a change or an export of the gallery."""
        self._gallery_changes.labels(action).inc()

    def identified(self, known: int, unknown: int) -> None:
        """Record the faces of an identified image."""
        self._identified.labels("known").inc(known)
        self._identified.labels("unknown").inc(unknown)

    def sample(self, now: bool = False) -> None:
        """Update the metrics of memory, CPU time and dropped log lines.

        Args:
            now: update them even if the last update is less than a second ago.
        """
        with self._lock:
            if not now and time.monotonic() - self._sampled < _SAMPLE_INTERVAL_S:
                return
            self._sampled = time.monotonic()
            self._body_bytes.set(self._bodies.used)
            with suppress(OSError, ValueError, IndexError):  # only Linux has /proc
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                self._resident.set(pages * os.sysconf("SC_PAGE_SIZE"))
            cpu, dropped = time.process_time(), logs.dropped()
            self._cpu.inc(cpu - self._reported_cpu)
            self._dropped.inc(max(0, dropped - self._reported_dropped))
            self._reported_cpu, self._reported_dropped = cpu, dropped

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus.

        This function reads files. Do not call it from the event loop.
        """
        self.sample(now=True)
        for device, used, total in used_and_total():
            self._device.labels(device, "used").set(used)
            self._device.labels(device, "total").set(total)
        if (folder := os.environ.get(FOLDER)) is None:
            return generate_latest(self._registry)
        return shared_metrics.text(folder)


def _gauge(
    registry: CollectorRegistry, name: str, text: str, labels: list[str] | None = None, mode: str = "livesum"
) -> Gauge:
    return Gauge(name, text, labels or [], registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]
