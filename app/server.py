"""The HTTP server: one process or, on a CPU, several worker processes that are replaced when they die."""

import logging
import os
import signal
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from app import logs
from app.api.metrics import FOLDER
from app.main import create_app, protocol_of
from app.runtime.device import candidate_devices
from app.settings import Settings

log = logging.getLogger(__name__)

_PARENT_MARGIN_S = 1.0
"""Seconds of the shutdown timeout that are reserved for the parent process."""

AppFactory = Callable[[Settings], FastAPI]


def serve(settings: Settings, make: AppFactory = create_app) -> int:
    """Serve the application until a signal stops it.

    Args:
        settings: the settings of the service.
        make: makes the application; every worker process calls it.

    Returns:
        The exit status of the process: 0, or 1 if the start failed.

    Raises:
        DeviceUnavailable: the device of the settings is unknown, or the installed ONNX Runtime lacks it.
    """
    planned = plan(settings, candidate_devices(settings.device)[0].kind)
    return _serve_workers(planned, make) if planned.workers > 1 else _serve_single(planned, make)


def plan(settings: Settings, kind: str) -> Settings:
    """Return the settings of each process.

    A GPU gets one process, so that it holds each model once. Several processes on a CPU share the cores. They
    get a shorter shutdown timeout than the parent process, which waits for them.

    Args:
        settings: the settings of the service.
        kind: `cpu`, `cuda` or `tensorrt`.
    """
    if settings.workers == 1:
        return settings
    if kind != "cpu":
        log.warning(
            "FACE_WORKERS=%d is ignored: on %s the service runs in one process.", settings.workers, kind
        )
        return settings.model_copy(update={"workers": 1})
    cores = len(os.sched_getaffinity(0))
    return settings.model_copy(
        update={
            "threads": settings.threads or max(1, cores // settings.workers),
            "shutdown_timeout_s": max(
                settings.shutdown_timeout_s / 2, settings.shutdown_timeout_s - _PARENT_MARGIN_S
            ),
        }
    )


def log_to_stderr(settings: Settings) -> None:
    """Write the log of this process to standard error, with the level and format of the settings."""
    logs.start(settings.log_level, settings.log_format)


def _serve_single(settings: Settings, make: AppFactory) -> int:
    app = make(settings)
    server = uvicorn.Server(_config(app, settings))
    app.state.give_up = lambda: setattr(server, "should_exit", True)
    signal.signal(signal.SIGTERM, _exit)  # uvicorn raises the signal again when it has shut down
    try:
        server.run()
    except KeyboardInterrupt:
        return 0
    return 0 if app.state.service.failure is None else 1


def _serve_workers(settings: Settings, make: AppFactory) -> int:
    config = _config(partial(_worker, settings, make), settings, factory=True)
    supervisor = _Supervisor(config, [config.bind_socket()])
    with TemporaryDirectory(prefix="facet-metrics-") as folder:
        os.environ[FOLDER] = folder  # the workers, which start now, share their metrics in this folder
        supervisor.run()
    return 1 if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0


class _Supervisor(Multiprocess):
    """uvicorn's supervisor with another check for dead workers.

    uvicorn's own check sends each worker a message and waits for the reply. A worker that is still importing
    cannot reply, and the supervisor would handle no signal meanwhile.
    """

    def keep_subprocess_alive(self) -> None:
        """Replace dead workers. Stop if a worker failed to start, because its replacement would fail too."""
        for index, worker in enumerate(self.processes):
            if worker.process.is_alive():
                continue
            if worker.exitcode == STARTUP_FAILURE:
                log.critical("A worker process failed to start; the service stops.")
                self.should_exit.set()
                return
            log.error("Worker process %s died with status %s and is replaced.", worker.pid, worker.exitcode)
            self.processes[index] = Process(self.config, self.sockets)
            self.processes[index].start()


def _worker(settings: Settings, make: AppFactory) -> FastAPI:
    """Return the application of a worker process; called in that process."""
    log_to_stderr(settings)
    app = make(settings)
    app.state.give_up = lambda: None  # the supervisor stops all workers if one fails to start
    return app


def _config(app: Any, settings: Settings, factory: bool = False) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        log_config=None,
        access_log=False,
        http=protocol_of(settings),
        ws="none",
        proxy_headers=False,  # they would replace the address of the proxy, by which RequestPath trusts it
        server_header=False,
        factory=factory,
        workers=settings.workers,
        timeout_graceful_shutdown=max(1, int(settings.shutdown_timeout_s / 10)),
    )


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
