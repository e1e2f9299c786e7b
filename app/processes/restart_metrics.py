"""Metrics of the supervisor, which it writes into the folder of its workers. Each worker reports them."""

from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, values

from app.processes.worker import REASONS, RestartReason


class RestartMetrics:
    """Metrics about worker processes.

    Args:
        folder: the shared folder, which the environment variable PROMETHEUS_MULTIPROC_DIR names.
        wanted: number of wanted workers.
    """

    def __init__(self, folder: Path, wanted: int) -> None:
        self._folder = folder
        # The library chose how to store values when it was imported, before the folder existed.
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        self._restarts = Counter(
            "face_worker_restarts", "Worker processes that had to be replaced.", ["reason"], registry=registry
        )
        for reason in REASONS:
            self._restarts.labels(reason)
        Gauge(
            "face_workers_wanted",
            "Worker processes that should be ready.",
            [],
            registry=registry,
            multiprocess_mode="livemax",
        ).set(wanted)

    def restarted(self, pid: int, reason: RestartReason) -> None:
        """Record that a worker has ended, and will be replaced.

        Args:
            pid: the process id of the worker.
            reason: why it ended. The files of a failed start are removed: they contain only zeros, and many
                failed starts would fill the folder.
        """
        self._restarts.labels(reason).inc()
        if reason == "failed-start":
            for file in self._folder.glob(f"*_{pid}.db"):
                with suppress(OSError):
                    file.unlink()
