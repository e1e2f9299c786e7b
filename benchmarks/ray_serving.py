"""The service with replicas on a Ray cluster: what it costs, and what its clients see of faults.

    .venv-ray/bin/python -m benchmarks.ray_serving throughput   # against the service without Ray, in turns
    .venv-ray/bin/python -m benchmarks.ray_serving faults       # on a cluster of three nodes on this machine

Each command writes a table and its figures. `faults` exits with status 1 if an answer is wrong, or if a
request was neither answered nor refused within FACE_REQUEST_TIMEOUT_S.
"""

import asyncio
import itertools
import os
import statistics
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import report
from benchmarks.clients import Outcome, closed
from benchmarks.pictures import same
from benchmarks.served import Served, service
from tests import ray_faults

_WARM_S = 3.0
_TIMEOUT_S = 30.0

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Out = Annotated[Path, typer.Option(help="Folder for the table and the figures.")]


@cli.command()
def throughput(
    task: Annotated[str, typer.Option(help="Task: detect, landmarks or embed.")] = "detect",
    clients: Annotated[int, typer.Option(help="Number of clients.")] = 16,
    seconds: Annotated[float, typer.Option(help="Seconds per run.")] = 12,
    turns: Annotated[int, typer.Option(help="Number of runs of each service.")] = 5,
    out: Out = report.RESULTS,
) -> None:
    """Measure the throughput with one replica for all cores, with one for each, and without Ray."""
    cores = len(os.sched_getaffinity(0))
    asks = same(f"/{task}", 1024, 768)
    with (
        service(gallery="off") as plain,
        service(gallery="off", ray_address="local") as one,
        service(gallery="off", ray_address="local", ray_replicas=cores, ray_cpus=1) as each,
    ):
        ways: dict[str, Served] = {
            "without Ray": plain,
            f"1 replica of {cores} CPUs": one,
            f"{cores} replicas of 1 CPU": each,
        }
        runs: dict[str, list[Outcome]] = {way: [] for way in ways}
        for _, (way, served) in itertools.product(range(turns), ways.items()):
            asyncio.run(closed(served.url, itertools.cycle(asks), clients, seconds=_WARM_S))
            runs[way].append(asyncio.run(closed(served.url, itertools.cycle(asks), clients, seconds=seconds)))
    base = runs["without Ray"]
    rows = []
    for way, found in runs.items():
        ratios = [run.rate / other.rate for run, other in zip(found, base, strict=True)]
        p50, p99 = (statistics.median(run.milliseconds(p)[0] for run in found) for p in (50, 99))
        rate = statistics.median(run.rate for run in found)
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append((way, f"{rate:.1f}", spread, f"{p50:.0f}", f"{p99:.0f}"))
    head = (f"/{task}, {clients} clients", "requests/s", "ratio, median and range", "p50 ms", "p99 ms")
    report.write(f"ray-{task}-{clients}", report.table(head, rows), {"rows": rows}, out)


@cli.command()
def faults(
    clients: Annotated[int, typer.Option(help="Number of clients.")] = 6,
    steady: Annotated[float, typer.Option(help="Seconds between two faults.")] = 10,
    out: Out = report.RESULTS,
) -> None:
    """Kill, stop and replace replicas, and take a node away, under load.

    Raises:
        Exit: with status 1, if a requirement is not met.
    """
    with tempfile.TemporaryDirectory() as name, ray_faults.nodes(3) as cluster:
        folder = Path(name)
        with service(models=ray_faults.FRONT["FACE_MODELS"], gallery="off") as plain:
            expected = ray_faults.answers(plain.url)
        with ExitStack() as fronts:
            front = fronts.enter_context(ray_faults.front(cluster.address, folder))
            load = ray_faults.Load(front.url, clients)

            def redeploy() -> None:
                fronts.enter_context(ray_faults.front(cluster.address, folder, 2, FACE_MAX_FACES="999"))

            with load.running(expected):
                happened = ray_faults.rehearse(
                    [
                        ("a replica is killed", ray_faults.kill_one, 3),
                        ("a replica hangs", ray_faults.hang_one, 3),
                        ("other settings are deployed", redeploy, 3),
                        ("a node is taken away", cluster.remove_one, 2),
                    ],
                    load,
                    steady,
                )
    rows = [
        (
            fault.what,
            len(fault.samples),
            str(dict(sorted(Counter(sample.status for sample in fault.samples).items()))),
            f"{fault.slowest_s:.1f}",
            f"{fault.end - fault.start:.1f}",
        )
        for fault in happened
    ]
    head = ("fault", "requests", "answers by status", "slowest answer, s", "recovered after, s")
    wrong = [s for s in load.samples if s.status == 200 and not s.is_right]
    late = [s for s in load.samples if s.end - s.start > _TIMEOUT_S + 1 or s.status not in (200, 503)]
    text = (
        f"{report.table(head, rows)}\n\n{len(load.samples)} requests in all; {len(wrong)} wrong answers; "
        f"{len(late)} neither answered nor refused in time."
    )
    report.write("ray-faults", text, {"rows": rows, "wrong": len(wrong), "late": len(late)}, out)
    raise typer.Exit(1 if wrong or late else 0)


if __name__ == "__main__":
    cli()
