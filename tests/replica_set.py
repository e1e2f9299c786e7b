"""Replicas of the service on fixed ports, which a test kills, stops and starts again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.balancer import Balancer, balancing, free_port
from tests.servers import http, until

_START_S = 120.0


class Replica:
    """A process of the service.

    Args:
        number: its number from 1, as in the name that the balancer gives it.
        variables: environment variables in addition to those of this process.
        folder: for its log.
    """

    def __init__(self, number: int, variables: Mapping[str, str], folder: Path) -> None:
        self.name = f"replica-{number}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._variables = dict(variables)
        self._log = folder / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; `is_ready` says when it takes requests."""
        command = [sys.executable, "-m", "app", "serve", "--port", str(self.port)]
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **self._variables}, stderr=log)

    @property
    def is_running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def is_ready(self) -> bool:
        """Return whether the service is ready."""
        try:
            return http.get(f"{self.url}/readyz", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End the process by SIGKILL."""
        self._end(signal.SIGKILL)

    def drain(self) -> float:
        """End the process by SIGTERM.

        Returns:
            The seconds until it ended, with status 0.
        """
        start = time.monotonic()
        status = self._end(signal.SIGTERM)
        assert status == 0, self.log
        return time.monotonic() - start

    @property
    def log(self) -> str:
        """What it has written to standard error."""
        return self._log.read_text(errors="replace")

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)


class ReplicaSet:
    """Replicas behind a balancer.

    Args:
        replicas: the replicas, which run.
        balancer: the balancer, which knows that they are ready.
    """

    def __init__(self, replicas: Sequence[Replica], balancer: Balancer) -> None:
        self.replicas = replicas
        self.balancer = balancer

    def wait_until_all_are_ready(self) -> None:
        """Wait until the balancer sends requests to every replica."""
        names = {replica.name for replica in self.replicas}
        until(
            lambda: self.balancer.ready() == names or any(not r.is_running for r in self.replicas), _START_S
        )
        for replica in self.replicas:
            assert replica.is_running, replica.log

    def in_hands(self, replica: Replica) -> int:
        """Return the number of requests that a replica has received from the balancer and not answered."""
        return int(self.balancer.statistics()[replica.name]["scur"])

    def seconds_until_noticed(self, replica: Replica) -> float:
        """Return the seconds until the balancer sends no more requests to a replica."""
        start = time.monotonic()
        until(lambda: replica.name not in self.balancer.ready(), 30)
        return time.monotonic() - start


@contextmanager
def replica_set(count: int, gallery: str, folder: Path, **settings: object) -> Iterator[ReplicaSet]:
    """Run replicas with one gallery behind the balancer of docker/replicas.

    Args:
        count: number of replicas, two to four.
        gallery: value of FACE_GALLERY.
        folder: for logs and the balancer's socket.
        settings: further settings, by the name of the variable without FACE_.

    Yields:
        The replicas, when all are ready.
    """
    variables = {f"FACE_{name}".upper(): str(value) for name, value in settings.items()}
    variables |= {"FACE_GALLERY": gallery, "FACE_DEVICE": "cpu", "FACE_LOG_LEVEL": "warning"}
    replicas = [Replica(number, variables, folder) for number in range(1, count + 1)]
    addresses = [f"127.0.0.1:{replica.port}" for replica in replicas]
    try:
        for replica in replicas:
            replica.start()
        with balancing(addresses, folder) as balancer:
            running = ReplicaSet(replicas, balancer)
            running.wait_until_all_are_ready()
            yield running
    finally:
        for replica in replicas:
            if replica.process is not None:
                replica.process.kill()
                replica.process.wait()
