"""Faults of the replicas on a Ray cluster of several nodes on this machine, under load."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.replica_load import photos
from tests.replica_set import Replica
from tests.servers import client_of, until

FRONT = {
    "FACE_RAY_REPLICAS": "3",
    "FACE_RAY_CPUS": "1",
    "FACE_MODELS": "cascade,fused,sface,dlib,mesh68",
    "FACE_GALLERY": "off",
}
"""Settings of the front: a replica for each of three nodes, with the default models only."""

_PROCESS = "ray::ServeReplica:facet:facet"
_START_S = 180.0
_RECOVERY_S = 90.0


@dataclass(frozen=True)
class Sample:
    """A request.

    Attributes:
        start: when it was sent, by `time.monotonic`.
        end: when its answer was complete.
        status: its status; 0 if the connection ended without one.
        is_right: whether the answer is that of a service without replicas.
    """

    start: float
    end: float
    status: int
    is_right: bool


@dataclass(frozen=True)
class Fault:
    """What a fault did.

    Attributes:
        what: the fault.
        start: when it began, by `time.monotonic`.
        end: when as many replicas as before were running again.
        samples: the requests that were unanswered at some time in between.
    """

    what: str
    start: float
    end: float
    samples: list[Sample] = field(default_factory=list)

    @property
    def slowest_s(self) -> float:
        """The longest time in which one of the requests was answered or refused, in seconds."""
        return max((sample.end - sample.start for sample in self.samples), default=0.0)


class Nodes:
    """A Ray cluster of several nodes on this machine, in a process of its own; see `nodes`.

    Args:
        count: number of nodes, with a CPU each.
    """

    def __init__(self, count: int) -> None:
        command = [sys.executable, "-m", "tests.integration.ray_cluster.nodes", str(count)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._line()
        assert self.address, "The cluster has not started. Ray gives up after 30 s: the machine may be busy."

    def remove_one(self) -> None:
        """Take a node away with all its processes."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._line()

    def close(self) -> None:
        """End the cluster."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def nodes(count: int) -> Iterator[Nodes]:
    """Run a cluster of several nodes while the context is open.

    Yields:
        The cluster.
    """
    running = Nodes(count)
    try:
        yield running
    finally:
        running.close()


@contextmanager
def front(address: str, folder: Path, number: int = 1, **variables: str) -> Iterator[Replica]:
    """Run a service that sends images to replicas on a cluster, while the context is open.

    Args:
        address: address of the cluster.
        folder: for its log.
        number: number of the front.
        variables: further environment variables.

    Yields:
        The service, which is ready.
    """
    started = Replica(number, {**FRONT, "FACE_RAY_ADDRESS": address, **variables}, folder)
    started.start()
    try:
        until(lambda: started.is_ready() or not started.is_running, _START_S)
        assert started.is_running, started.log
        yield started
    finally:
        if started.is_running:
            started.drain()


class Load:
    """Clients that detect faces, each with the next request after the answer to the last one.

    Args:
        url: address of the service.
        clients: number of clients.
    """

    def __init__(self, url: str, clients: int) -> None:
        self.samples: list[Sample] = []
        self._url = url
        self._photos = photos()
        self._expected: dict[bytes, object] = {}
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(clients)]

    @contextmanager
    def running(self, expected: dict[bytes, object]) -> Iterator[None]:
        """Send requests while the context is open.

        Args:
            expected: the right answer for each photo; see `answers`.

        Yields:
            None.
        """
        self._expected = expected
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in self._threads:
                thread.join(90)

    def between(self, start: float, end: float) -> list[Sample]:
        """Return the requests that were unanswered at some time between two times."""
        return [sample for sample in self.samples if sample.end >= start and sample.start <= end]

    def _run(self, number: int) -> None:
        with client_of(self._url, 60) as http:
            while not self._done.is_set():
                photo = self._photos[number % len(self._photos)]
                start = time.monotonic()
                try:
                    answer = _detect(http, photo)
                    is_right = answer.is_success and _content(answer) == self._expected[photo]
                    status = answer.status_code
                except httpx.TransportError:
                    status, is_right = 0, False
                self.samples.append(Sample(start, time.monotonic(), status, is_right))
                if status != 200:
                    time.sleep(0.5)


def answers(url: str) -> dict[bytes, object]:
    """Return the answer of a service for each photo, without its times."""
    with client_of(url, 60) as http:
        return {photo: _content(_detect(http, photo).raise_for_status()) for photo in photos()}


def processes() -> list[int]:
    """Return the process ids of the replicas, whose names Ray sets."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and (folder / "cmdline").read_bytes().startswith(_PROCESS.encode()):
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended
    return sorted(found)


def rehearse(
    faults: Sequence[tuple[str, Callable[[], None], int]], load: Load, steady_s: float
) -> list[Fault]:
    """Cause faults one after the other under load.

    Args:
        faults: for each its name, what causes it, and the number of replicas that run again afterwards.
        load: the running load.
        steady_s: seconds between them.

    Returns:
        What they did.
    """
    happened = []
    for what, cause, count in faults:
        time.sleep(steady_s)
        before, start = set(processes()), time.monotonic()
        cause()
        until(lambda before=before, count=count: _has_recovered(before, count), _RECOVERY_S)
        end = time.monotonic()
        time.sleep(1)
        happened.append(Fault(what, start, end, load.between(start, end)))
    return happened


def kill_one() -> None:
    """End a replica by SIGKILL."""
    os.kill(processes()[0], signal.SIGKILL)


def hang_one() -> None:
    """Stop a replica by SIGSTOP, so that it answers nothing and does not end."""
    os.kill(processes()[0], signal.SIGSTOP)


def _has_recovered(before: set[int], count: int) -> bool:
    """Return whether so many replicas run, at least one of which is new or gone."""
    now = set(processes())
    return len(now) == count and now != before and all(_state(pid) != "T" for pid in now)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _detect(http: httpx.Client, photo: bytes) -> httpx.Response:
    return http.post("/detect", content=photo, headers={"Content-Type": "image/jpeg"})


def _content(answer: httpx.Response) -> Any:
    content = json.loads(answer.content)
    del content["timing_ms"]
    return content
