"""How many replicas a load needs: a simulation from measured times, and a check against the running service.

    .venv/bin/python -m benchmarks.capacity check    # measure this machine, and compare with the simulation
    .venv/bin/python -m benchmarks.capacity plan     # the tables of docs/guides/capacity.md
    .venv/bin/python -m benchmarks.capacity size --rate 200 --cores 8 --cpu-ms 50 --p99-ms 300

`check` starts the service and takes three minutes. It writes the measured times, which `plan` reads.
"""

import asyncio
import itertools
import json
import os
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import report
from benchmarks.clients import Outcome, closed, open_
from benchmarks.connections import Connections
from benchmarks.pictures import Ask, same
from benchmarks.queueing import Fleet, Load, Machine, Result, replicas_for, simulate
from benchmarks.served import service

WORKERS_PER_CORE = 2
"""Worker threads per core of a replica, at least 4: the default of FACE_MAX_CONCURRENT."""

QUEUE = 28
"""The default of FACE_MAX_QUEUE."""

START_S = 10.0
"""Seconds from the start of a replica to its first request: the process, and the balancer's health check."""

ALONE = 150
"""Requests that are sent alone, to measure the time of one and its spread."""

REFUSED = 0.001
"""Share of requests that a plan may refuse."""

SHARES = (0.3, 0.5, 0.7, 0.9, 1.5)
"""Shares of the maximum throughput at which the simulation is compared with the service."""

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Out = Annotated[Path, typer.Option(help="Folder for the table and the figures.")]


def replica(cores: int, parallel: float) -> Machine:
    """Return a replica with the default settings.

    Args:
        cores: number of its cores.
        parallel: number of cores that one request can use.
    """
    workers = min(32, max(4, WORKERS_PER_CORE * cores))
    return Machine(cores, workers, QUEUE, min(parallel, cores), START_S)


@cli.command()
def check(
    seconds: Annotated[float, typer.Option(help="Seconds of each run.")] = 20,
    size: Annotated[tuple[int, int], typer.Option(help="Width and height of the images.")] = (1024, 768),
    out: Out = report.RESULTS,
) -> None:
    """Measure `/detect` on this machine, and compare the simulation with it at several loads."""
    cores = len(os.sched_getaffinity(0))
    asks = same("/detect", *size)
    with service() as served:

        def run(rate: float) -> Outcome:
            return asyncio.run(open_(served.url, itertools.cycle(asks), rate, seconds))

        first = asyncio.run(closed(served.url, itertools.cycle(asks), 4, seconds=seconds))
        took = np.array(asyncio.run(_one_by_one(served.url, asks, ALONE)))
        most = max(run(share * first.rate).rate for share in (1.2, 1.5))
        cpu_s, mean = cores / most, float(took.mean())
        service_s = took * cpu_s / mean
        machine = replica(cores, cpu_s / mean)
        rows: list[list[object]] = []
        for share in SHARES:
            rate = share * most
            found = run(rate)
            simulated = simulate(Load(rate, service_s), machine, Fleet(1), 50 * seconds)
            refused = found.statuses.get(503, 0) / len(found.status)
            for name, times, share_refused in (
                ("measured", found.milliseconds(50, 95, 99), refused),
                ("simulated", simulated.milliseconds(50, 95, 99), simulated.refused / simulated.requests),
            ):
                rows.append([f"{share:.0%}", name, rate, *times, f"{share_refused:.1%}"])
    text = "\n\n".join(
        [
            f"`/detect` with JPEGs of {size[0]}x{size[1]} on {cores} cores: {most:.1f} requests/s at "
            f"most, so {1e3 * cpu_s:.0f} ms of CPU per request. One request alone takes "
            f"{1e3 * mean:.0f} ms, so it uses {cpu_s / mean:.2f} cores. The simulation has "
            "these two figures, and the spread of the times alone.",
            report.table(["load", "", "requests/s", "p50 ms", "p95 ms", "p99 ms", "refused"], rows),
        ]
    )
    figures = {"cpu_s": cpu_s, "parallel": cpu_s / mean, "service_s": service_s.tolist(), "rows": rows}
    report.write("capacity-check", text, figures, out)


async def _one_by_one(url: str, asks: list[Ask], count: int) -> list[float]:
    """Return the seconds of requests, each of which is sent after the response to the last one."""
    took = []
    async with Connections(url) as connections:
        for ask in itertools.islice(itertools.cycle(asks), count):
            begun = time.perf_counter()
            await connections.send(ask)
            took.append(time.perf_counter() - begun)
    return took


@cli.command()
def size(
    rate: Annotated[float, typer.Option(help="Requests per second.")],
    cores: Annotated[int, typer.Option(help="Cores of a replica.")] = 8,
    cpu_ms: Annotated[float, typer.Option(help="Milliseconds of CPU per request.")] = 50,
    parallel: Annotated[float, typer.Option(help="Cores that one request can use.")] = 1.7,
    p99_ms: Annotated[float, typer.Option(help="Greatest 99th percentile of the response time.")] = 300,
    burst: Annotated[float, typer.Option(help="Factor of the rate for 10 s of each minute.")] = 1,
) -> None:
    """Print the smallest number of replicas for a load."""
    times = np.array([cpu_ms / 1e3])
    load = Load(rate, times, burst, 10 if burst > 1 else 0)
    count = replicas_for(load, replica(cores, parallel), p99_ms, REFUSED, 60)
    result = simulate(load, replica(cores, parallel), Fleet(count), 60)
    p50, p99 = result.milliseconds(50, 99)
    typer.echo(
        f"{count} replicas of {cores} cores: p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
        f"{result.refused / result.requests:.2%} refused. Add one for each replica that may fail."
    )


@cli.command()
def plan(
    cores: Annotated[int, typer.Option(help="Cores of a replica.")] = 8,
    p99: Annotated[
        float, typer.Option(help="Greatest 99th percentile, as a multiple of a request alone.")
    ] = 5,
    out: Out = report.RESULTS,
) -> None:
    """Write the tables of the capacity plan from the times that `check` has measured."""
    measured = json.loads((report.RESULTS / "capacity-check.json").read_text())
    times, parallel = np.array(measured["service_s"]), measured["parallel"]
    machine = replica(cores, parallel)
    p99_ms = p99 * 1e3 * times.mean() / machine.parallel
    sizes = [
        _sized(rate, burst, times, machine, p99_ms)
        for rate, burst in itertools.product((10, 100, 1000), (1, 2))
    ]
    faults = [_fault(*case, times, machine) for case in FAULTS]
    text = "\n\n".join(
        [
            f"Replicas of {cores} cores for `/detect` with {1e3 * times.mean():.0f} ms of CPU per request: "
            f"p99 of at most {p99_ms:.0f} ms and at most {REFUSED:.1%} refused. A burst lasts 10 s of each "
            "minute.",
            report.table(
                ["requests/s", "in a burst", "replicas", "load of the cores", "p50 ms", "p99 ms", "refused"],
                sizes,
            ),
            f"What fleets do with 100 requests/s in 20 minutes. A replica takes {START_S:.0f} s to start, "
            "and a burst lasts a minute of five.",
            report.table(
                ["case", "requests", "lost", "refused", "p50 ms", "p99 ms", "mean replicas"], faults
            ),
        ]
    )
    report.write("capacity-plan", text, {"sizes": sizes, "faults": faults}, out)


FAULTS = (
    ("3 replicas", Fleet(3), 1.0),
    ("3 replicas, a failure each minute", Fleet(3, failure_every_s=60), 1.0),
    ("2 replicas, a failure each minute", Fleet(2, failure_every_s=60), 1.0),
    ("2 replicas, bursts of 3 times", Fleet(2), 3.0),
    ("2 to 6 replicas, bursts of 3 times", Fleet(2, most=6, target=8), 3.0),
    ("4 replicas, bursts of 3 times", Fleet(4), 3.0),
)
"""Cases of the plan: their name, the fleet, and the factor of the rate in bursts."""


def _sized(rate: float, burst: float, times: np.ndarray, machine: Machine, p99_ms: float) -> list[object]:
    load = Load(rate, times, burst, 10 if burst > 1 else 0)
    count = replicas_for(load, machine, p99_ms, REFUSED, 120 if rate < 1000 else 60)
    result = simulate(load, machine, Fleet(count), 120, seed=1)
    used = rate * times.mean() / (count * machine.cores)
    return [rate, f"{rate * burst:.0f}", count, f"{used:.0%}", *result.milliseconds(50, 99), _share(result)]


def _fault(name: str, fleet: Fleet, burst: float, times: np.ndarray, machine: Machine) -> list[object]:
    result = simulate(Load(100, times, burst, 60 if burst > 1 else 0, 300), machine, fleet, 1200)
    return [name, result.requests, result.lost, _share(result), *result.milliseconds(50, 99), result.replicas]


def _share(result: Result) -> str:
    return f"{result.refused / result.requests:.2%}"


if __name__ == "__main__":
    cli()
