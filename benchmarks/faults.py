"""The service when something goes wrong under load, and how soon it is ready.

    .venv/bin/python -m benchmarks.faults worker     # one of two workers is killed
    .venv/bin/python -m benchmarks.faults sigterm    # it is told to end
    .venv/bin/python -m benchmarks.faults start      # from the command to ready, file cache warm

Each writes a table and its figures, and ends with status 1 where it misses what is asked of the service.
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

Clients = Annotated[int, typer.Option(help="clients that each wait for an answer before they ask again")]
Seconds = Annotated[float, typer.Option(help="how long the load lasts")]


@cli.command()
def worker(
    clients: Clients = 8, seconds: Seconds = 30, size: Size = (640, 480), out: Out = report.RESULTS
) -> None:
    """A worker of two is killed: only what it had in hand is lost, and another takes its place."""
    with service(workers=2) as served:
        load, (killed, replaced) = asyncio.run(_with(served, clients, seconds, size, _kill))
    broken = [when for when, status in zip(load.due, load.status, strict=True) if status != 200]
    text = (
        f"`/detect` of {size[0]}x{size[1]} JPEGs by {clients} clients, two workers; one is killed after "
        f"{killed:.0f} s. Answers {load.statuses} (0: the connection was lost); two are "
        f"ready again {replaced:.1f} s later."
    )
    figures = {"statuses": load.statuses, "replaced_s": replaced}
    report.write("faults-worker", text, figures, out)
    _require(set(load.status) <= {0, 200} and len(broken) <= clients and replaced < 30)


@cli.command()
def sigterm(clients: Clients = 8, size: Size = (640, 480), out: Out = report.RESULTS) -> None:
    """The service is told to end in mid-load: what it has begun is answered, and it exits with 0."""
    with service() as served:
        load, (told, ended) = asyncio.run(_with(served, clients, 8, size, _end))
    before = Counter(s for due, took, s in zip(load.due, load.took, load.status, strict=True) if due < told)
    text = (
        f"`/detect` of {size[0]}x{size[1]} JPEGs by {clients} clients; SIGTERM after {told:.0f} s. Requests "
        f"begun before: answers {dict(before)}. It exited with 0, {ended:.1f} s after the signal."
    )
    figures = {"before": dict(before), "all": load.statuses, "ended_s": ended}
    report.write("faults-sigterm", text, figures, out)
    _require(set(before) <= {200, 503} and set(load.status) <= {0, 200, 503})


@cli.command()
def start(
    times: Annotated[int, typer.Option(help="starts, after one that fills the file cache")] = 5,
    out: Out = report.RESULTS,
) -> None:
    """The time from the command to the first 200 of /readyz."""
    took: list[float] = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        with service(poll=0.1):
            took.append(time.perf_counter() - begun)
    middle, most = statistics.median(took[1:]), max(took[1:])
    text = (
        f"Ready {middle:.2f} s after the command, the median of {times} starts (at most {most:.2f} s), all "
        "models loaded and warm."
    )
    report.write("faults-start", text, {"seconds": took[1:]}, out)
    _require(middle < 3)


async def _with(
    served: Served, clients: int, seconds: float, size: tuple[int, int], fault: Callable[[Served], float]
) -> tuple[Outcome, tuple[float, float]]:
    """A closed load, and after a quarter of its time the fault: when it came, and how long it lasted."""
    asks = itertools.cycle(same("/detect", *size))
    load = asyncio.create_task(closed(served.url, asks, clients, seconds=seconds))
    begun = time.perf_counter()
    await asyncio.sleep(seconds / 4)
    at = time.perf_counter() - begun
    lasted = await asyncio.to_thread(fault, served)
    return await load, (at, lasted)


def _kill(served: Served) -> float:
    """Kills a worker; the seconds until there are as many ready ones as before."""
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
    """The service's workers; multiprocessing has a helper of its own beside them."""
    return [pid for pid in children(served.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _ready(url: str) -> int:
    """The workers that say they are ready."""
    try:
        lines = httpx.get(f"{url}/metrics", timeout=30).text.splitlines()
    except httpx.TransportError:
        return 0
    return round(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("face_ready")))


def _end(served: Served) -> float:
    """Sends SIGTERM; the seconds until the process has gone."""
    os.kill(served.pid, signal.SIGTERM)
    begun = time.perf_counter()
    os.waitid(os.P_PID, served.pid, os.WEXITED | os.WNOWAIT)
    return time.perf_counter() - begun


def _require(met: bool) -> None:
    if not met:
        sys.stderr.write("a requirement is missed\n")
        raise typer.Exit(1)


if __name__ == "__main__":
    cli()
