"""The HTTP server: one process, or on a CPU several that are replaced when they die."""

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
from app.runtime.session import candidates
from app.settings import Settings

log = logging.getLogger(__name__)

_MARGIN = 1.0
"""Seconds of the grace time that are the parent's own."""


Make = Callable[[Settings], FastAPI]


def serve(settings: Settings, make: Make = create_app) -> int:
    """Serves what `make` makes until it is told to end; the exit status. Raises DeviceUnavailable at once."""
    planned = plan(settings, candidates(settings.device)[0].kind)
    return _many(planned, make) if planned.workers > 1 else _one(planned, make)


def plan(settings: Settings, kind: str) -> Settings:
    """The settings of each process, where a device of that kind may be used: of a GPU one process.

    So it holds every model once. Several on a CPU share the cores, and end a little before the process
    that waits for them.
    """
    if settings.workers == 1:
        return settings
    if kind != "cpu":
        log.warning("FACE_WORKERS=%d has no effect on %s: one process owns a GPU", settings.workers, kind)
        return settings.model_copy(update={"workers": 1})
    cores = len(os.sched_getaffinity(0))
    return settings.model_copy(
        update={
            "threads": settings.threads or max(1, cores // settings.workers),
            "grace_s": max(settings.grace_s / 2, settings.grace_s - _MARGIN),
        }
    )


def log_to_stderr(settings: Settings) -> None:
    """Logging of this process."""
    logs.start(settings.log_level, settings.log_format)


def _one(settings: Settings, make: Make) -> int:
    app = make(settings)
    server = uvicorn.Server(_config(app, settings))
    app.state.give_up = lambda: setattr(server, "should_exit", True)
    signal.signal(signal.SIGTERM, _leave)  # uvicorn raises the signal again when all is done
    try:
        server.run()
    except KeyboardInterrupt:
        return 0
    return 0 if app.state.service.failure is None else 1


def _many(settings: Settings, make: Make) -> int:
    config = _config(partial(_worker, settings, make), settings, factory=True)
    supervisor = _Supervisor(config, [config.bind_socket()])
    with TemporaryDirectory(prefix="facet-metrics-") as folder:
        os.environ[FOLDER] = folder  # where the workers, which begin now, count together
        supervisor.run()
    return 1 if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0


class _Supervisor(Multiprocess):
    """uvicorn's, but for how it finds the dead: it asks each worker, and one that imports cannot answer.

    Until it does, no signal would be heard.
    """

    def keep_subprocess_alive(self) -> None:
        """Replaces workers that have died; ends where one could not start, as the next could not either."""
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


def _worker(settings: Settings, make: Make) -> FastAPI:
    """A worker's application, made in the worker."""
    log_to_stderr(settings)
    app = make(settings)
    app.state.give_up = lambda: None  # its start fails, which ends the others too
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
        timeout_graceful_shutdown=max(1, int(settings.grace_s / 10)),
    )


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
