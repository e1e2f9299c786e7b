"""The worker processes of a service, and requests that each of them answers."""

import re
from contextlib import suppress
from pathlib import Path

import httpx

from tests.servers import http


def workers(supervisor: int) -> set[int]:
    """Return the worker processes of a supervisor, without the resource tracker of multiprocessing."""
    found = set()
    for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        with suppress(OSError):  # it has just ended
            if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
                found.add(int(pid))
    return found


def is_running(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def statuses(url: str, path: str, key: str | None = None, times: int = 20) -> set[int]:
    """Return the statuses of several requests, each on a new connection, so that all workers get some."""
    headers = {"X-API-Key": key} if key else {}
    return {http.get(f"{url}{path}", headers=headers, timeout=30).status_code for _ in range(times)}


def metrics(url: str) -> dict[str, float]:
    """Return the metrics of a service by name and labels; nothing if it does not answer."""
    try:
        text = http.get(f"{url}/metrics", timeout=30).text
    except httpx.TransportError:
        return {}
    return {name: float(value) for name, value in re.findall(r"^(face_\S+) (\S+)$", text, re.MULTILINE)}


def all_ready(url: str, count: int = 2) -> bool:
    """Return whether so many worker processes are ready, and the supervisor knows it."""
    return metrics(url).get("face_ready") == count and readiness(url) == "ready"


def readiness(url: str) -> str:
    """Return the status in the body of /readyz."""
    answer = http.get(f"{url}/readyz", timeout=30)
    return str(answer.json()["status"])


def metrics_folders(supervisor: int) -> set[Path]:
    """Return the folders in which the workers of a supervisor share their metrics."""
    found = set()
    for pid in workers(supervisor):
        for mapped in re.findall(r"/\S+/facet-metrics-[^/]+", Path(f"/proc/{pid}/maps").read_text()):
            found.add(Path(mapped))
    return found


def listens(port: int) -> bool:
    """Return whether a socket listens on the port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)
