"""What the service counts of itself, for Prometheus: names begin with `face_`; docs/operations.md lists them.

One process has a registry of its own. Several workers share a folder, named by PROMETHEUS_MULTIPROC_DIR
before this module is first imported, and whichever is asked answers for all of them.
"""

import glob
import os
import platform
import re
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
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from app import logs
from app.api.intake import Held
from app.pipeline.analyzer import Analyzer
from app.pipeline.observer import Reason
from app.runtime.device_memory import used_and_total
from app.runtime.session import runtime_version

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_FACES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_SAMPLE_EVERY = 1.0


class Metrics:
    """The counters: an `Observer` of the pipeline and a `Watch` over connections, told from any thread."""

    def __init__(self, held: Held, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # one more series each, which nobody reads
        self._registry = own = CollectorRegistry()
        self._held = held
        self._requests = Counter(
            "face_requests", "requests answered", ["method", "route", "status"], registry=own
        )
        self._request_seconds = Histogram(
            "face_request_seconds", "from head to answer", ["route"], registry=own, buckets=_SECONDS
        )
        self._in_progress = _gauge(own, "face_requests_in_progress", "requests not answered yet")
        self._stage_seconds = Histogram(
            "face_stage_seconds", "seconds of a request in a stage", ["stage"], registry=own, buckets=_SECONDS
        )
        net = ["model", "net"]
        self._batch_items = Histogram(
            "face_batch_items", "items of one run of a net", net, registry=own, buckets=_SIZES
        )
        self._batch_requests = Histogram(
            "face_batch_requests", "requests that shared a run of a net", net, registry=own, buckets=_SIZES
        )
        self._waiting = _gauge(own, "face_queue_depth", "requests that wait for a worker")
        self._running = _gauge(own, "face_queue_running", "requests at work")
        self._capacity = _gauge(own, "face_queue_capacity", "requests that may wait")
        self._faces = Counter("face_faces", "faces in answers", registry=own)
        self._faces_each = Histogram(
            "face_faces_per_answer", "faces in an answer", registry=own, buckets=_FACES
        )
        self._problems = Counter("face_problems", "problems answered", ["type"], registry=own)
        self._rejected = Counter(
            "face_rejected", "requests turned away or given up", ["reason"], registry=own
        )
        self._exhausted = Counter(
            "face_device_memory_exhausted", "runs of a net the device had no memory for", net, registry=own
        )
        self._body_bytes = _gauge(own, "face_body_bytes", "bytes of bodies in memory")
        self._connections = _gauge(own, "face_connections", "open connections")
        self._models = _gauge(
            own, "face_model_info", "models loaded", ["model", "task", "provider", "default"], "livemax"
        )
        build = _gauge(own, "face_build_info", "what runs", ["version", "onnxruntime", "python"], "livemax")
        build.labels(version, runtime_version(), platform.python_version()).set(1)
        self._ready = _gauge(own, "face_ready", "workers that are warm")
        self._ready.set(0)
        self._resident = _gauge(own, "face_resident_memory_bytes", "memory of the process")
        self._cpu = Counter("face_cpu_seconds", "CPU time of the process", registry=own)
        self._device = _gauge(
            own, "face_device_memory_bytes", "memory of a device", ["device", "kind"], "livemax"
        )
        self._dropped = Counter("face_log_dropped", "log lines thrown away", registry=own)
        self._devices: list[int] = []
        self._lock = threading.Lock()
        self._sampled = float("-inf")
        self._seen_cpu = 0.0
        self._seen_dropped = 0

    def opened(self, analyzer: Analyzer, capacity: int) -> None:
        """The models are loaded and warm."""
        for model in analyzer.models:
            entry = model.entry
            provider = list(model.sessions.values())[-1].provider
            default = str(entry.name == getattr(analyzer.defaults, entry.task)).lower()
            self._models.labels(entry.name, entry.task, provider, default).set(1)
        self._capacity.set(capacity)
        self._ready.set(1)

    def closed(self) -> None:
        """No request is taken any more."""
        self._ready.set(0)

    def begin(self) -> None:
        """A request's head has come."""
        self._in_progress.inc()

    def end(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request is answered; `status` 499 where its client had gone."""
        self._in_progress.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)
        self.sample()

    def problem(self, slug: str) -> None:
        """A request was answered with a problem of that type."""
        self._problems.labels(slug).inc()

    def stage(self, name: str, seconds: float) -> None:
        self._stage_seconds.labels(name).observe(seconds)

    def batch(self, model: str, kind: str, requests: int, items: int) -> None:
        self._batch_items.labels(model, kind).observe(items)
        self._batch_requests.labels(model, kind).observe(requests)

    def queue_depth(self, waiting: int, running: int) -> None:
        self._waiting.set(waiting)
        self._running.set(running)

    def rejected(self, reason: Reason) -> None:
        self._rejected.labels(reason).inc()

    def refused(self, reason: str) -> None:
        self._rejected.labels(reason).inc()

    def faces(self, count: int) -> None:
        self._faces.inc(count)
        self._faces_each.observe(count)

    def device_memory(self, model: str, kind: str, items: int) -> None:
        self._exhausted.labels(model, kind).inc()

    def connections(self, count: int) -> None:
        self._connections.set(count)

    def sample(self, now: bool = False) -> None:
        """Reads what nobody tells of: memory, CPU time, lines dropped. Once a second, or now."""
        with self._lock:
            if not now and time.monotonic() - self._sampled < _SAMPLE_EVERY:
                return
            self._sampled = time.monotonic()
            self._body_bytes.set(self._held.now)
            with suppress(OSError, ValueError, IndexError):  # there is no /proc but on Linux
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                self._resident.set(pages * os.sysconf("SC_PAGE_SIZE"))
            cpu, dropped = time.process_time(), logs.dropped()
            self._cpu.inc(cpu - self._seen_cpu)
            self._dropped.inc(max(0, dropped - self._seen_dropped))
            self._seen_cpu, self._seen_dropped = cpu, dropped

    def text(self) -> bytes:
        """Everything, in Prometheus's text format. Reads files; not for the event loop."""
        self.sample(now=True)
        for device, used, total in used_and_total():
            self._device.labels(device, "used").set(used)
            self._device.labels(device, "total").set(total)
        if (folder := os.environ.get(FOLDER)) is None:
            return generate_latest(self._registry)
        _forget_dead(folder)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _gauge(
    registry: CollectorRegistry, name: str, text: str, labels: list[str] | None = None, mode: str = "livesum"
) -> Gauge:
    return Gauge(name, text, labels or [], registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]


def _forget_dead(folder: str) -> None:
    """Gauges of workers that have died count no more."""
    found = (re.search(r"gauge_live\w+_(\d+)\.db$", name) for name in glob.glob(f"{folder}/gauge_live*.db"))
    for pid in {int(match[1]) for match in found if match}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
        except PermissionError:
            pass
