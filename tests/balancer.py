"""HAProxy with the configuration of docker/replicas, and what it reports about the replicas."""

import csv
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

CONFIGURATION = Path("docker/replicas/haproxy.cfg")


def executable() -> str:
    """Return the path of HAProxy. Without one the test is skipped, or fails if CI is set."""
    found = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
    if found is None:
        reason = "HAProxy is not here; Debian has it in the package haproxy"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Balancer:
    """A running HAProxy.

    Args:
        url: the address it listens on.
        process: its process.
        folder: holds its socket and its log.
    """

    def __init__(self, url: str, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.url = url
        self.process = process
        self._folder = folder

    @property
    def log(self) -> list[str]:
        """The lines of its log so far: requests with errors, and changes of the replicas' states."""
        return (self._folder / "log").read_text().splitlines()

    def command(self, text: str) -> str:
        """Run a command of HAProxy's runtime API, and return its answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self._folder / "socket"))
            connection.sendall(f"{text}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def statistics(self) -> dict[str, dict[str, str]]:
        """Return HAProxy's statistics by the name of a replica, such as `replica-1`."""
        lines = self.command("show stat").removeprefix("# ").splitlines()
        rows = csv.DictReader(lines)
        return {row["svname"]: row for row in rows if row["svname"].startswith("replica-")}

    def ready(self) -> set[str]:
        """Return the names of the replicas that get requests."""
        return {name for name, row in self.statistics().items() if row["status"].startswith("UP")}


@contextmanager
def balancing(replicas: Sequence[str], folder: Path) -> Iterator[Balancer]:
    """Run HAProxy in front of replicas.

    Args:
        replicas: host and port of each replica, two to four.
        folder: for the socket and the log.

    Yields:
        The balancer, which takes requests, but may not know yet which replicas are ready.
    """
    port, control = free_port(), str(folder / "socket")
    variables = {f"REPLICA_{number}": address for number, address in enumerate(replicas, 1)}
    environment = {
        **os.environ,
        **variables,
        "BALANCER_BIND": f"127.0.0.1:{port}",
        "BALANCER_SOCKET": control,
    }
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [executable(), "-db", "-f", CONFIGURATION], env=environment, stdout=log, stderr=log
        )
    try:
        end = time.monotonic() + 10
        while not (_accepts(socket.AF_INET, ("127.0.0.1", port)) and _accepts(socket.AF_UNIX, control)):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, "HAProxy does not listen"
            time.sleep(0.02)
        yield Balancer(f"http://127.0.0.1:{port}", process, folder)
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """Return a port of 127.0.0.1 that no socket has now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _accepts(family: socket.AddressFamily, address: tuple[str, int] | str) -> bool:
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0
