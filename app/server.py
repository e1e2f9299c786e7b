"""The HTTP server: one process, or on a CPU several, which are replaced when they die."""

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
"""Seconds of the shutdown time that are reserved for the parent process."""

AppFactory = Callable[[Settings], FastAPI]


def serve(settings: Settings, make: AppFactory = create_app) -> int:
    """Serve the application until a signal stops it, and return the exit status.

    Raises:
        DeviceUnavailable: at once, if the device does not exist.
    """
    planned = plan(settings, candidate_devices(settings.device)[0].kind)
    return _serve_workers(planned, make) if planned.workers > 1 else _serve_single(planned, make)


def plan(settings: Settings, kind: str) -> Settings:
    """Return the settings of each process for a kind of device.

    A GPU has one process, so that it holds every model once. Several processes on a CPU share the cores, and
    end a little before the parent process, which waits for them.
    """
    if settings.workers == 1:
        return settings
    if kind != "cpu":
        log.warning("FACE_WORKERS=%d is ignored on %s: a GPU has one process", settings.workers, kind)
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
    """Send the log of this process to standard error."""
    logs.start(settings.log_level, settings.log_format)


def _serve_single(settings: Settings, make: AppFactory) -> int:
    app = make(settings)
    server = uvicorn.Server(_config(app, settings))
    app.state.give_up = lambda: setattr(server, "should_exit", True)
    signal.signal(signal.SIGTERM, _exit)  # uvicorn raises the signal again at its end
    try:
        server.run()
    except KeyboardInterrupt:
        return 0
    return 0 if app.state.service.failure is None else 1


def _serve_workers(settings: Settings, make: AppFactory) -> int:
    config = _config(partial(_worker, settings, make), settings, factory=True)
    supervisor = _Supervisor(config, [config.bind_socket()])
    with TemporaryDirectory(prefix="facet-metrics-") as folder:
        os.environ[FOLDER] = folder  # the workers, which start now, share their metrics there
        supervisor.run()
    return 1 if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0


class _Supervisor(Multiprocess):
    """uvicorn's supervisor with another check for dead workers.

    uvicorn's own check asks each worker and waits, and a worker that is importing cannot answer; until then
    the supervisor would handle no signal.
    """

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died; stop if one could not start, since the next could not either."""
        for index, worker in enumerate(self.processes):
            if worker.process.is_alive():
                continue
            if worker.exitcode == STARTUP_FAILURE:
                log.critical("a worker could not start")
                self.should_exit.set()
                return
            log.error("worker %s died with status %s and is replaced", worker.pid, worker.exitcode)
            self.processes[index] = Process(self.config, self.sockets)
            self.processes[index].start()


def _worker(settings: Settings, make: AppFactory) -> FastAPI:
    """Return a worker's application; called in the worker."""
    log_to_stderr(settings)
    app = make(settings)
    app.state.give_up = lambda: None  # its failed start stops the others too
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
        server_header=False,
        factory=factory,
        workers=settings.workers,
        timeout_graceful_shutdown=max(1, int(settings.shutdown_timeout_s / 10)),
    )


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
