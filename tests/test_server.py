"""How a server process ends, and what replaces a worker that dies. tests/integration kills real workers."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import SIGNALS

from app import server
from app.api.metrics import FOLDER
from app.errors import Abandoned
from app.runtime.admission import Admission
from app.runtime.shutdown import on_sigterm
from app.settings import Settings
from tests.api.pictures import problem
from tests.processes import EXAMPLE, SLOW, is_ready, metric, process
from tests.servers import client_of, http, until

SHUTDOWN_TIMEOUT = 20


def test_sigterm_finishes_what_runs_refuses_new_work_and_exits_with_0() -> None:
    with (
        process("-c", SLOW, "1", shutdown_timeout_s=SHUTDOWN_TIMEOUT) as (running, url, lines),
        ThreadPoolExecutor() as clients,
        client_of(url) as client,
    ):
        until(lambda: is_ready(url), 120)
        work = clients.submit(lambda: http.post(f"{url}/detect", files={"image": EXAMPLE}, timeout=60))
        until(lambda: metric(client, "face_queue_running") == 1)
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        until(lambda: client.get("/readyz").status_code == 503)
        problem(client.get("/readyz"), 503, "not-ready")
        problem(client.post("/detect", files={"image": EXAMPLE}), 503, "not-ready")
        assert work.result(30).status_code == 200
        assert running.wait(SHUTDOWN_TIMEOUT) == 0
        assert time.monotonic() - start < SHUTDOWN_TIMEOUT, lines


@pytest.fixture
def ended() -> Iterator[list[float]]:
    """The times at which SIGTERM had its previous effect, which here is only to be recorded."""
    times: list[float] = []
    kept = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGTERM, lambda *_: times.append(time.monotonic()))
    yield times
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_sigterm_waits_for_admitted_requests(ended: list[float]) -> None:
    admission = Admission(1, 0)

    async def main() -> None:
        with on_sigterm(admission, 3600) as stopping:
            context = admission.admit()
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(stopping.wait(), 30)
            assert admission.draining
            await asyncio.sleep(0.2)
            assert not ended
            context.check()
            admission.release(context)
            while not ended:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 60))
    admission.close()
    assert len(ended) == 1


def test_what_does_not_end_is_cancelled_and_left_at_the_end_of_the_shutdown_time(
    ended: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    exits: list[tuple[int, float]] = []
    monkeypatch.setattr(os, "_exit", lambda status: exits.append((status, time.monotonic())))
    admission = Admission(1, 0)

    async def main() -> float:
        with on_sigterm(admission, 1):
            context = admission.admit()
            start = time.monotonic()
            signal.raise_signal(signal.SIGTERM)
            while not exits:
                await asyncio.sleep(0.01)
            with pytest.raises(Abandoned):
                context.check()
            return start

    start = asyncio.run(asyncio.wait_for(main(), 60))
    admission.close()
    ((status, exit_time),) = exits
    assert status == 0
    assert 0.8 <= ended[0] - start < exit_time - start < 1


class FakeWorker:
    """A worker process that has not ended, or has ended with a status."""

    started: "list[FakeWorker]"

    def __init__(self, config: object = None, sockets: object = None, exitcode: int | None = None) -> None:
        self.exitcode = exitcode
        self.pid = id(self)
        self.process = self

    def is_alive(self) -> bool:
        return self.exitcode is None

    def start(self) -> None:
        FakeWorker.started.append(self)


@pytest.fixture
def supervisor(ended: list[float], monkeypatch: pytest.MonkeyPatch) -> server._Supervisor:
    """A supervisor of fake workers; `ended` restores the handlers of the signals that it handles."""
    FakeWorker.started = []
    monkeypatch.setattr(server, "Process", FakeWorker)
    return server._Supervisor(uvicorn.Config("app", workers=3), [])


def test_a_worker_that_dies_is_replaced(
    supervisor: server._Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    workers = [FakeWorker(), FakeWorker(exitcode=-signal.SIGKILL), FakeWorker()]
    supervisor.processes = [*workers]  # type: ignore[list-item]
    supervisor.keep_subprocess_alive()
    (new,) = FakeWorker.started
    assert [worker.pid for worker in supervisor.processes] == [workers[0].pid, new.pid, workers[2].pid]
    assert not supervisor.should_exit.is_set()
    assert f"Worker process {workers[1].pid} died with status -9" in caplog.text
    supervisor.keep_subprocess_alive()
    assert len(FakeWorker.started) == 1


def test_a_worker_that_cannot_start_ends_the_service(
    supervisor: server._Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.processes = [FakeWorker(), FakeWorker(exitcode=STARTUP_FAILURE)]  # type: ignore[list-item]
    supervisor.keep_subprocess_alive()
    assert not FakeWorker.started
    assert supervisor.should_exit.is_set()
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]


@pytest.mark.parametrize(("exitcode", "status"), [(STARTUP_FAILURE, 1), (0, 0), (-signal.SIGTERM, 0)])
def test_the_status_of_several_workers(
    monkeypatch: pytest.MonkeyPatch, ended: list[float], exitcode: int, status: int
) -> None:
    def run(supervisor: server._Supervisor) -> None:
        for listener in supervisor.sockets:
            listener.close()
        supervisor.processes = [FakeWorker(exitcode=0), FakeWorker(exitcode=exitcode)]  # type: ignore[list-item]

    monkeypatch.setattr(server._Supervisor, "run", run)
    monkeypatch.setenv(FOLDER, "")  # so that the folder that is set there is forgotten after the test
    assert server.serve(Settings(workers=2, device="cpu", port=0)) == status


def test_workers_share_the_cores_and_the_shutdown_time() -> None:
    cores = len(os.sched_getaffinity(0))
    planned = server.plan(Settings(workers=2, shutdown_timeout_s=20), "cpu")
    assert (planned.workers, planned.threads, planned.shutdown_timeout_s) == (2, max(1, cores // 2), 19)
    assert server.plan(Settings(workers=2, threads=5), "cpu").threads == 5
    assert server.plan(Settings(), "cpu") == server.plan(Settings(), "cuda") == Settings()


def test_a_gpu_has_one_process(caplog: pytest.LogCaptureFixture) -> None:
    assert server.plan(Settings(device="auto", workers=4), "cuda").workers == 1
    assert "FACE_WORKERS=4 is ignored: on cuda" in caplog.text
