"""The service on replicas: on three nodes with faults under load, and on a cluster of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import ray_faults
from tests.api.pictures import opened, picture, written
from tests.integration.ray_cluster.process_tree import LOOPBACK, descendants, listening, running
from tests.ray_faults import FRONT, Load, Nodes, front
from tests.replica_load import photos
from tests.replica_set import Replica
from tests.replicas.test_service import Ask, form, pair_form, post, seen
from tests.servers import client_of, until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("ray")]

CLIENTS = 4
LOCAL = {**FRONT, "FACE_RAY_ADDRESS": "local", "FACE_RAY_REPLICAS": "1", "FACE_MODELS": "cascade"}
JPEG = {"Content-Type": "image/jpeg"}

AGENTS = frozenset({"ray::DashboardAgent", "ray::RuntimeEnvAgent"})
"""Helpers of Ray that remain for a minute if the process of the service is killed."""


def asks() -> dict[str, Ask]:
    """Requests, most of which run nets in a replica."""
    first, second, _ = photos()
    return {
        "detect": post("/detect?pose=true&quality=true&orientation=auto", first),
        "drawing": post("/landmarks", first, headers={"Accept": "image/png"}),
        "embed": post("/embed?model=sface", second),
        "boxes": form("/embed", first, boxes=[[100, 100, 200, 200]]),
        "verify": pair_form("?far=0.001", first, second),
        "batch": form("/detect/batch", first, second, picture()[:300]),
        "cluster": form("/cluster", first, second, first),
        "unknown model": post("/detect?model=nobody", first),
        "no image": post("/detect", picture()[:300]),
        "no face": pair_form("", first, picture()),
        "models": lambda client: client.get("/models"),
    }


@pytest.fixture(scope="module")
def expected(ray: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[bytes, Any]]:
    """The answers of a service without Ray: to `asks`, and to those of a load."""
    plain = Replica(9, {**FRONT, "FACE_DEVICE": "cpu"}, tmp_path_factory.mktemp("plain"))
    plain.start()
    try:
        until(plain.is_ready, 60)
        with client_of(plain.url, 60) as client:
            return {name: seen(ask(client)) for name, ask in asks().items()}, ray_faults.answers(plain.url)
    finally:
        plain.kill()


@pytest.fixture(scope="module")
def cluster(expected: object) -> Iterator[Nodes]:
    with ray_faults.nodes(3) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def service(cluster: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """A front with a replica on each node."""
    with front(cluster.address, tmp_path_factory.mktemp("front")) as started:
        until(lambda: len(ray_faults.processes()) == 3, 60)
        yield started


def test_the_answers_are_those_without_ray(
    service: Replica, expected: tuple[dict[str, Any], dict[bytes, Any]]
) -> None:
    with client_of(service.url, 60) as client:
        for name, ask in asks().items():
            assert seen(ask(client)) == expected[0][name], name


def test_a_second_front_shares_the_replicas(service: Replica, cluster: Nodes, tmp_path: Path) -> None:
    before = ray_faults.processes()
    with front(cluster.address, tmp_path, 2) as second:
        assert ray_faults.processes() == before
        answers = []
        with client_of(second.url, 60) as client:
            request = threading.Thread(target=lambda: answers.append(_slow(client)))
            request.start()
            time.sleep(0.5)
            assert 4 < second.drain() < 25
            request.join(30)
        assert [answer.status_code for answer in answers] == [200]
        assert "Traceback" not in second.log
        assert "*** SIGTERM" not in second.log  # what Ray writes before it aborts the process
    assert ray_faults.processes() == before


@pytest.mark.parametrize(
    ("fault", "words"),
    [("models_dir", "/nowhere"), ("weights", "This machine has other models than the front.")],
)
def test_replicas_that_do_not_fit_end_the_start_and_change_nothing(
    fault: str,
    words: str,
    service: Replica,
    cluster: Nodes,
    expected: tuple[dict[str, Any], dict[bytes, Any]],
) -> None:
    environment = {**os.environ, **FRONT, "FACE_RAY_ADDRESS": cluster.address}
    command = ["-m", "tests.integration.ray_cluster.mismatched", fault, "serve", "--port", "0"]
    process = subprocess.run(
        [sys.executable, *command],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        timeout=90,
        check=False,
    )
    assert process.returncode == 1, process.stderr
    assert f"The replicas on the Ray cluster {cluster.address} do not start: " in process.stderr
    assert words in process.stderr
    assert "Traceback" not in process.stderr
    with client_of(service.url, 60) as client:
        until(lambda: _detect(client, photos()[0]).status_code == 200, 60)
        assert seen(asks()["detect"](client)) == expected[0]["detect"]
    until(lambda: len(ray_faults.processes()) == 3, 60)


def test_faults_under_load_lose_nothing(
    service: Replica, cluster: Nodes, tmp_path: Path, expected: tuple[dict[str, Any], dict[bytes, Any]]
) -> None:
    load = Load(service.url, CLIENTS)
    started: list[Replica] = []

    def redeploy() -> None:
        before = set(ray_faults.processes())
        with front(cluster.address, tmp_path, 2, FACE_MAX_FACES="999") as other:
            started.append(other)
        until(lambda: len(ray_faults.processes()) == 3 and not before & set(ray_faults.processes()), 60)

    faults: list[tuple[str, Callable[[], None], int]] = [
        ("a replica is killed", ray_faults.kill_one, 3),
        ("other settings are deployed", redeploy, 3),
        ("a node is taken away", cluster.remove_one, 2),
    ]
    with load.running(expected[1]):
        happened = ray_faults.rehearse(faults, load, 1)
    for fault in happened:
        statuses = Counter(sample.status for sample in fault.samples)
        assert set(statuses) == {200}, (fault.what, statuses)
    assert all(sample.status == 200 and sample.is_right for sample in load.samples)
    assert len(load.samples) > 50
    assert len(started) == 1
    assert "Traceback" not in service.log


def test_a_cluster_of_its_own(ray: None, tmp_path: Path) -> None:
    service, left = Replica(1, LOCAL, tmp_path), frozenset[str]()
    for end in (service.drain, service.kill):
        service.start()
        assert service.process is not None
        try:
            until(lambda: service.is_ready() or not service.is_running, 60)
            assert service.is_running, service.log
            with client_of(service.url, 60) as client:
                assert _detect(client, photos()[0]).status_code == 200
            started = descendants(service.process.pid)
            assert set(ray_faults.processes()) & started
            found = listening(started)
        finally:
            took = end()
        assert len(found) >= 2
        assert found <= LOOPBACK
        assert took is None or took < 20
        until(lambda started=started, left=left: set(running(started).values()) <= left, 30)
        for pid in running(started):
            os.kill(pid, signal.SIGKILL)
        left = AGENTS
    assert "Traceback" not in service.log


def _slow(client: httpx.Client) -> httpx.Response:
    """Send a batch that takes longer than Ray lets a process run after SIGTERM."""
    images = [("image", written(opened("obama.jpg").resize((1800, 2400)), "JPEG"))] * 16
    return client.post("/embed/batch?orientation=auto&min_face_size=12", files=images)


def _detect(client: httpx.Client, image: bytes) -> httpx.Response:
    return client.post("/detect", content=image, headers=JPEG)
