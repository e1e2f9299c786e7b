"""Faults under load, and the time to start.

    .venv/bin/python -m benchmarks.faults worker     # kill one of two worker processes
    .venv/bin/python -m benchmarks.faults sigterm    # send SIGTERM
    .venv/bin/python -m benchmarks.faults start      # measure the time from the command to readiness

Each command writes a table and its figures. It exits with status 1 if the service misses a requirement.
"""

import asyncio
import itertools
import os
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import httpx
import typer

from benchmarks import report
from benchmarks.clients import Outcome, closed
from benchmarks.load import Out, Size
from benchmarks.pictures import same
from benchmarks.served import Served, children, service

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Clients = Annotated[int, typer.Option(help="Number of clients, which each send one request at a time.")]
Seconds = Annotated[float, typer.Option(help="Duration of the load in seconds.")]


@cli.command()
def worker(
    clients: Clients = 8, seconds: Seconds = 30, size: Size = (640, 480), out: Out = report.RESULTS
) -> None:
    """Kill one of two worker processes under load. Only its running requests may fail; it is replaced."""
    with service(workers=2) as served:
        load, (killed, replaced) = asyncio.run(_with(served, clients, seconds, size, _kill))
    broken = [when for when, status in zip(load.due, load.status, strict=True) if status != 200]
    text = (
        f"`/detect` with JPEGs of {size[0]}x{size[1]}, {clients} clients, two worker processes. One of them "
        f"was killed after {killed:.0f} s. Responses by status: {load.statuses} (0: the connection was "
        f"lost). Two worker processes were ready again after {replaced:.1f} s."
    )
    figures = {"statuses": load.statuses, "replaced_s": replaced}
    report.write("faults-worker", text, figures, out)
    _require(set(load.status) <= {0, 200} and len(broken) <= clients and replaced < 30)


@cli.command()
def sigterm(clients: Clients = 8, size: Size = (640, 480), out: Out = report.RESULTS) -> None:
    """Send SIGTERM under load. Admitted requests must be answered, and the exit status must be 0."""
    with service() as served:
        load, (told, ended) = asyncio.run(_with(served, clients, 8, size, _end))
    before = Counter(s for due, took, s in zip(load.due, load.took, load.status, strict=True) if due < told)
    text = (
        f"`/detect` with JPEGs of {size[0]}x{size[1]}, {clients} clients, SIGTERM after {told:.0f} s. "
        f"Responses by status to requests that were sent before the signal: {dict(before)}. The service "
        f"exited with status 0, {ended:.1f} s after the signal."
    )
    figures = {"before": dict(before), "all": load.statuses, "ended_s": ended}
    report.write("faults-sigterm", text, figures, out)
    _require(set(before) <= {200, 503} and set(load.status) <= {0, 200, 503})


@cli.command()
def start(
    times: Annotated[
        int, typer.Option(help="Number of starts, after a first one that fills the file cache.")
    ] = 5,
    out: Out = report.RESULTS,
) -> None:
    """Measure the time from the command to the first response 200 of /readyz."""
    took: list[float] = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        with service(poll=0.1):
            took.append(time.perf_counter() - begun)
    middle, most = statistics.median(took[1:]), max(took[1:])
    text = (
        f"Ready {middle:.2f} s after the command: median of {times} starts (maximum {most:.2f} s), with all "
        "models loaded and warm."
    )
    report.write("faults-start", text, {"seconds": took[1:]}, out)
    _require(middle < 3)


async def _with(
    served: Served, clients: int, seconds: float, size: tuple[int, int], fault: Callable[[Served], float]
) -> tuple[Outcome, tuple[float, float]]:
    """Run a closed loop, and cause a fault after a quarter of its duration.

    Returns:
        The results of the load; and the time of the fault and the result of `fault`, in seconds.
    """
    asks = itertools.cycle(same("/detect", *size))
    load = asyncio.create_task(closed(served.url, asks, clients, seconds=seconds))
    begun = time.perf_counter()
    await asyncio.sleep(seconds / 4)
    at = time.perf_counter() - begun
    lasted = await asyncio.to_thread(fault, served)
    return await load, (at, lasted)


def _kill(served: Served) -> float:
    """Return the seconds from killing a worker process until as many are ready as before."""
    before = _workers(served)
    os.kill(before[0], signal.SIGKILL)
    begun, missed = time.perf_counter(), False
    while time.perf_counter() - begun < 120:
        time.sleep(0.1)
        ready = _ready(served.url)
        missed = missed or ready < len(before)
        if missed and ready == len(before):
            return time.perf_counter() - begun
    return float("inf")


def _workers(served: Served) -> list[int]:
    """Return the process ids of the worker processes. Multiprocessing also starts a process of its own."""
    return [pid for pid in children(served.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _ready(url: str) -> int:
    """Return the number of worker processes that are ready."""
    try:
        lines = httpx.get(f"{url}/metrics", timeout=30).text.splitlines()
    except httpx.TransportError:
        return 0
    return round(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("face_ready")))


def _end(served: Served) -> float:
    """Return the seconds from SIGTERM to the end of the process."""
    os.kill(served.pid, signal.SIGTERM)
    begun = time.perf_counter()
    os.waitid(os.P_PID, served.pid, os.WEXITED | os.WNOWAIT)
    return time.perf_counter() - begun


def _require(met: bool) -> None:
    if not met:
        sys.stderr.write("A requirement is not met.\n")
        raise typer.Exit(1)


if __name__ == "__main__":
    cli()
