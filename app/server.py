"""The HTTP server: one process or, on a CPU, several worker processes that are replaced when they die."""

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from fastapi import FastAPI

from app import logs
from app.api.metrics import FOLDER
from app.api.transport.lingering_close import MAX_LINGERING_CONNECTIONS
from app.errors import CannotStart
from app.main import create_app, protocol_of
from app.processes.restart_metrics import RestartMetrics
from app.processes.signals import Terminal, deliver_hang_ups, keep_hang_ups
from app.processes.supervisor import Supervisor
from app.processes.worker_pipe import State, follow
from app.runtime.device import candidate_devices
from app.runtime.listening import listen
from app.runtime.process_limits import require_descriptors, require_threads
from app.settings import Settings
from app.wiring import check_tracing, service_threads

log = logging.getLogger(__name__)

_PARENT_MARGIN_S = 1.0
"""Seconds of the shutdown timeout that are reserved for the parent process."""

_OTHER_DESCRIPTORS = 64
"""File descriptors for other purposes than connections: the log, model files, metrics."""

AppFactory = Callable[[Settings], FastAPI]


def serve(settings: Settings, make: AppFactory = create_app) -> int:
    """Serve the application until a signal stops it.

    Args:
        settings: the settings of the service.
        make: makes the application; every worker process calls it.

    Returns:
        The exit status of the process: 0, or 1 if the start failed.

    Raises:
        CannotStart: the system does not give the service the address, threads, file descriptors or temporary
            folder it needs, or the settings ask for traces and it cannot send them.
        DeviceUnavailable: the device of the settings is unknown, or the installed ONNX Runtime lacks it.
    """
    keep_hang_ups()
    planned = plan(settings, "ray" if settings.ray_address else candidate_devices(settings.device)[0].kind)
    require_threads(service_threads(planned))
    others = MAX_LINGERING_CONNECTIONS + _OTHER_DESCRIPTORS + 4 * planned.workers
    require_descriptors(planned.max_connections, others)
    program = _Program(planned, make, listen(planned.host, planned.port))
    try:
        if planned.workers == 1:
            return _serve_single(program)
        check_tracing(planned)  # before each worker would find it out
        return _serve_workers(program, settings.shutdown_timeout_s)
    finally:
        for listener in program.sockets:
            listener.close()


def plan(settings: Settings, kind: str) -> Settings:
    """Return the settings of each process.

    A GPU gets one process, so that it holds each model once, and so does the front of a Ray cluster. Several
    processes on a CPU share the cores. They get a shorter shutdown timeout than the parent process, which
    waits for them.

    Args:
        settings: the settings of the service.
        kind: `cpu`, `cuda`, `tensorrt` or `ray`.
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


class _Program:
    """The service with its present settings, of which only the keys of the key file change.

    Args:
        settings: the settings of each process.
        make: makes the application.
        sockets: the bound sockets, which all processes share.
    """

    def __init__(self, settings: Settings, make: AppFactory, sockets: list[socket.socket]) -> None:
        self.settings = settings
        self.make = make
        self.sockets = sockets

    @property
    def keys(self) -> frozenset[str]:
        """The valid API keys."""
        return self.settings.keys()

    def start(self, connection: Connection) -> BaseProcess:
        """Start a worker process.

        Args:
            connection: the worker's end of the pipe to the supervisor.

        Returns:
            The process.
        """
        arguments = (self.settings, self.make, self.sockets, connection)
        # Should the supervisor fail, Python ends daemonic processes instead of waiting for them.
        process = multiprocessing.get_context("spawn").Process(
            target=_run_worker, args=arguments, daemon=True
        )
        process.start()
        return process

    def reload(self) -> None:
        """Read the key file again. If it is invalid, the previous keys stay valid."""
        file = self.settings.api_keys_file
        if file is None:
            log.warning("SIGHUP received: FACE_API_KEYS_FILE is not set, so there is nothing to reload.")
            return
        try:
            self.settings = self.settings.with_new_keys()
        except ValueError as error:
            log.error("SIGHUP received: %s is refused, the previous keys stay valid. %s.", file.path, error)
        else:
            log.info("SIGHUP received: %d API keys are valid now.", len(self.keys))


def _serve_single(program: _Program) -> int:
    app = program.make(program.settings)
    server = uvicorn.Server(_config(app, program.settings))
    app.state.give_up = lambda: setattr(server, "should_exit", True)
    terminal = Terminal()

    def hang_up() -> None:
        if terminal.is_closed():
            signal.raise_signal(signal.SIGTERM)
        else:
            program.reload()
            app.state.keys.replace(program.keys)

    async def run() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)
        deliver_hang_ups()
        await server.serve(program.sockets)

    signal.signal(signal.SIGTERM, _exit)  # uvicorn raises the signal again when it has shut down
    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return 0
    return 0 if app.state.service.failure is None else 1


def _serve_workers(program: _Program, shutdown_timeout_s: float) -> int:
    workers = program.settings.workers
    try:
        folder = TemporaryDirectory(prefix="facet-metrics-")
    except OSError as error:
        raise CannotStart(
            f"FACE_WORKERS={workers} processes share metrics in a temporary folder, which cannot be made: "
            f"{error.strerror}. Set TMPDIR to a folder that the service may write to, or set FACE_WORKERS=1."
        ) from error
    with folder as path:
        os.environ[FOLDER] = path  # the workers, which start now, share their metrics in this folder
        metrics = RestartMetrics(Path(path), workers)
        return 0 if Supervisor(workers, program, metrics, shutdown_timeout_s).run() else 1


def _run_worker(
    settings: Settings, make: AppFactory, sockets: list[socket.socket], connection: Connection
) -> None:
    """Serve the application in a worker process until SIGTERM or the end of the supervisor."""
    log_to_stderr(settings)
    signal.signal(signal.SIGTERM, _exit)
    app = make(settings)
    app.state.give_up = _end_failed_start
    server = uvicorn.Server(_config(app, settings))

    def apply(state: State) -> None:
        if app.state.keys.replace(state.keys):
            log.info("%d API keys are valid in this worker process now.", len(state.keys))
        app.state.service.is_degraded = state.degraded

    def on_orphaned() -> None:
        log.error("The supervisor has ended. This worker process finishes its requests and ends, too.")
        for listener in getattr(server, "servers", []):  # frees the port for the next start
            listener.close()
        rmtree(os.environ[FOLDER], ignore_errors=True)  # the supervisor would have removed it
        signal.raise_signal(signal.SIGTERM)

    async def run() -> None:
        follow(connection, apply, lambda: server.started, on_orphaned)
        await server.serve(sockets)

    asyncio.run(run())


def _end_failed_start() -> NoReturn:
    """End a worker process whose start has failed. It has no requests, and must not accept one."""
    logs.flush()
    os._exit(1)


def _config(app: Any, settings: Settings) -> uvicorn.Config:
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
        timeout_graceful_shutdown=max(1, int(settings.shutdown_timeout_s / 10)),
    )


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
