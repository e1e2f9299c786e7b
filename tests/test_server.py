"""How a server process ends, and which keys it accepts. tests/integration kills real workers."""

import asyncio
import logging
import os
import pickle
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import values

from app import server
from app.api.metrics import FOLDER
from app.errors import Abandoned, CannotStart, NotReady
from app.main import create_app
from app.processes.supervisor import Supervisor
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
    handler = signal.signal(signal.SIGTERM, lambda *_: times.append(time.monotonic()))
    yield times
    signal.signal(signal.SIGTERM, handler)


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


def test_with_a_delay_new_requests_are_admitted_after_sigterm(ended: list[float]) -> None:
    admission = Admission(1, 0)
    delay = 0.5

    async def main() -> float:
        with on_sigterm(admission, 3600, delay) as stopping:
            start = time.monotonic()
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(stopping.wait(), 30)
            assert admission.stopping
            admission.release(admission.admit())
            while not admission.draining:
                await asyncio.sleep(0.01)
            assert time.monotonic() - start >= delay
            with pytest.raises(NotReady, match="accepts no new ones"):
                admission.admit()
            while not ended:
                await asyncio.sleep(0.01)
            return start

    asyncio.run(asyncio.wait_for(main(), 60))
    admission.close()
    assert len(ended) == 1


def test_with_a_delay_the_service_is_not_ready_but_answers(tmp_path: Path) -> None:
    settings = {"shutdown_timeout_s": SHUTDOWN_TIMEOUT, "drain_delay_s": 2, "gallery": tmp_path / "g.db"}
    with (
        process("-c", SLOW, "0", **settings) as (running, url, lines),
        client_of(url) as client,
    ):
        until(lambda: is_ready(url), 120)
        running.send_signal(signal.SIGTERM)
        until(lambda: client.get("/readyz").status_code == 503)
        assert http.post(f"{url}/detect", files={"image": EXAMPLE}).status_code == 200
        assert running.wait(SHUTDOWN_TIMEOUT) == 0, lines


@pytest.mark.parametrize(("succeeded", "status"), [(True, 0), (False, 1)])
def test_the_status_of_several_workers(monkeypatch: pytest.MonkeyPatch, succeeded: bool, status: int) -> None:
    monkeypatch.setattr(Supervisor, "run", lambda supervisor: succeeded)
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)  # so that it is as before after the test
    monkeypatch.setenv(FOLDER, "")  # so that the folder that is set there is forgotten after the test
    assert server.serve(Settings(workers=2, device="cpu", port=0)) == status


def test_without_a_temporary_folder_several_workers_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(prefix: str) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(server, "TemporaryDirectory", refuse)
    with pytest.raises(CannotStart, match=r"FACE_WORKERS=2 .* Set TMPDIR to a folder"):
        server.serve(Settings(workers=2, device="cpu", port=0))


class TestReload:
    OLD, NEW, OTHER = (f"{name}-key-of-some-length" for name in ("old", "new", "other"))

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "keys"
        path.write_text(self.OLD)
        return path

    @pytest.fixture
    def program(self, monkeypatch: pytest.MonkeyPatch, file: Path) -> server._Program:
        monkeypatch.setenv("FACE_API_KEYS_FILE", str(file))
        monkeypatch.setenv("FACE_API_KEYS", self.OTHER)
        return server._Program(Settings(), create_app, [])

    def test_the_file_is_read_once(self, program: server._Program, file: Path) -> None:
        file.write_text(self.NEW)
        assert program.keys == {self.OLD, self.OTHER}

    def test_the_keys_travel_to_the_workers_and_not_the_path(
        self, program: server._Program, file: Path
    ) -> None:
        file.unlink()
        assert pickle.loads(pickle.dumps(program.settings)).keys() == {self.OLD, self.OTHER}

    def test_the_keys_of_the_file_are_replaced(self, program: server._Program, file: Path) -> None:
        file.write_text(f"# a comment\n{self.NEW}\n")
        program.reload()
        assert program.keys == program.settings.keys() == {self.NEW, self.OTHER}

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "cannot be read: No such file or directory"),
            ("", "contains no API key"),
            ("# only a comment of some length", "contains no API key"),
            ("new-key-of-some-length\nabc", "Line 2 is invalid"),
        ],
    )
    def test_an_invalid_file_changes_nothing(
        self,
        program: server._Program,
        file: Path,
        caplog: pytest.LogCaptureFixture,
        content: str | None,
        words: str,
    ) -> None:
        if content is None:
            file.unlink()
        else:
            file.write_text(content)
        program.reload()
        assert program.keys == {self.OLD, self.OTHER}
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert str(file) in record.getMessage()
        assert words in record.getMessage()
        assert self.NEW not in caplog.text

    def test_a_pipe_does_not_block(
        self, program: server._Program, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file.unlink()
        os.mkfifo(file)
        program.reload()
        assert program.keys == {self.OLD, self.OTHER}
        assert "not a regular file" in caplog.text

    def test_without_a_file_there_is_nothing_to_reload(self, caplog: pytest.LogCaptureFixture) -> None:
        program = server._Program(Settings(api_keys=frozenset({self.OLD})), create_app, [])
        program.reload()
        assert program.keys == {self.OLD}
        assert "there is nothing to reload" in caplog.text


def test_workers_share_the_cores_and_the_shutdown_time() -> None:
    cores = len(os.sched_getaffinity(0))
    planned = server.plan(Settings(workers=2, shutdown_timeout_s=20), "cpu")
    assert (planned.workers, planned.threads, planned.shutdown_timeout_s) == (2, max(1, cores // 2), 19)
    assert server.plan(Settings(workers=2, threads=5), "cpu").threads == 5
    assert server.plan(Settings(), "cpu") == server.plan(Settings(), "cuda") == Settings()


def test_a_gpu_has_one_process(caplog: pytest.LogCaptureFixture) -> None:
    assert server.plan(Settings(device="auto", workers=4), "cuda").workers == 1
    assert "FACE_WORKERS=4 is ignored: on cuda" in caplog.text


def test_the_front_of_a_ray_cluster_is_one_process(caplog: pytest.LogCaptureFixture) -> None:
    planned = server.plan(Settings(ray_address="local", workers=4), "ray")
    assert (planned.workers, planned.threads) == (1, 0)
    assert "FACE_WORKERS=4 is ignored: on ray the service runs in one process." in caplog.text
