"""The service under load: throughput, latency, overload, a soak test, and memory.

    .venv/bin/python -m benchmarks.load throughput     # by the number of clients
    .venv/bin/python -m benchmarks.load overload       # ten times the capacity for a minute
    .venv/bin/python -m benchmarks.load soak           # 20,000 requests of all kinds
    .venv/bin/python -m benchmarks.load memory         # 2,000 images of 1 to 24 megapixels

Each command starts the service on this machine, with the FACE_ settings of the environment. The clients share
the cores with the service. Each command writes a table and its figures. It exits with status 1 if the service
misses a requirement.
"""

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from benchmarks import report
from benchmarks.clients import Outcome, closed, open_
from benchmarks.connections import Connections
from benchmarks.pictures import Ask, mixed, of_random_sizes, same
from benchmarks.served import Served, service

PERCENTILES = (50, 95, 99)

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Out = Annotated[Path, typer.Option(help="Folder for the table and the figures.")]
Size = Annotated[tuple[int, int], typer.Option(help="Width and height of the images in pixels.")]
Task = Annotated[str, typer.Option(help="Task: detect, landmarks or embed.")]


@cli.command()
def throughput(
    task: Task = "detect",
    size: Size = (1024, 768),
    clients: Annotated[str, typer.Option(help="Numbers of clients, separated by commas.")] = "1,2,4,8,16",
    seconds: Annotated[float, typer.Option(help="Seconds per run.")] = 15,
    turns: Annotated[int, typer.Option(help="Number of runs per number of clients.")] = 3,
    compare: Annotated[bool, typer.Option(help="Also measure without dynamic batching (GPU).")] = False,
    out: Out = report.RESULTS,
) -> None:
    """Measure throughput and latency by the number of clients, then the latency at 70% of the throughput."""
    numbers = [int(number) for number in clients.split(",")]
    asks = same(f"/{task}", *size)
    with ExitStack() as running:
        ways = {"on": running.enter_context(service())}
        if compare:
            ways["off"] = running.enter_context(service(dynamic_batching=False))
        runs: dict[tuple[str, int], list[Outcome]] = {}
        for _, number, (way, served) in tqdm(
            list(itertools.product(range(turns), numbers, ways.items())), unit="turn", disable=None
        ):
            found = asyncio.run(closed(served.url, itertools.cycle(asks), number, seconds=seconds))
            runs.setdefault((way, number), []).append(found)
        best = {key: max(run.rate for run in each) for key, each in runs.items()}
        rate = 0.7 * best["on", numbers[-1]]
        at70 = asyncio.run(open_(ways["on"].url, itertools.cycle(asks), rate, turns * seconds))
    rows = [
        [way, number, _median(each, lambda run: run.rate), *_percentiles(each)]
        for (way, number), each in sorted(runs.items(), key=lambda item: (item[0][0] != "on", item[0][1]))
    ]
    gain = _of(rows, "on", numbers[-1])[2] / _of(rows, "on", numbers[0])[2]
    p50, p95, p99 = at70.milliseconds(*PERCENTILES)
    width, height = size
    text = "\n\n".join(
        [
            f"`/{task}` with JPEGs of {width}x{height}: medians of {turns} runs of {seconds:g} s.",
            report.table(["dynamic batching", "clients", "requests/s", "p50 ms", "p95 ms", "p99 ms"], rows),
            f"Throughput with {numbers[-1]} clients: {gain:.2f} times that with {numbers[0]}.",
            f"At 70% of the maximum, {rate:.1f} requests/s with random arrivals: p50 {p50:.0f} ms, "
            f"p95 {p95:.0f} ms, p99 {p99:.0f} ms, p99 / p50 {p99 / p50:.2f}. Responses by status: "
            f"{at70.statuses}.",
        ]
    )
    figures = {
        "rows": rows,
        "gain": gain,
        "at_70_percent": {"rate": rate, "p50": p50, "p95": p95, "p99": p99, "statuses": at70.statuses},
    }
    report.write(f"load-{task}", text, figures, out)
    _require(gain >= 1.3 and p99 < 4 * p50)


@cli.command()
def overload(
    size: Size = (1024, 768),
    seconds: Annotated[float, typer.Option(help="Duration in seconds.")] = 60,
    times: Annotated[float, typer.Option(help="Load as a multiple of the capacity.")] = 10,
    deadline: Annotated[float, typer.Option(help="Request timeout of the service in seconds.")] = 30,
    out: Out = report.RESULTS,
) -> None:
    """Send ten times the capacity. Accepted requests must be in time, and the service must recover."""
    asks = same("/detect", *size)
    with service(request_timeout_s=deadline) as served:
        capacity = asyncio.run(closed(served.url, itertools.cycle(asks), 16, seconds=min(15, seconds))).rate
        flood = asyncio.run(open_(served.url, itertools.cycle(asks), times * capacity, seconds))
        (alone,) = asyncio.run(closed(served.url, itertools.cycle(asks), 1, most=20)).milliseconds(50)
        recovered = asyncio.run(_recovery(served, asks, times * capacity, 3 * alone))
    accepted, refused = (flood.milliseconds(*PERCENTILES, status=status, sent=True) for status in (200, 503))
    lag = sorted(flood.lag)[int(0.99 * len(flood.lag))] * 1e3
    rows = [
        ["accepted (200)", flood.status.count(200), *accepted],
        ["refused (503)", flood.status.count(503), *refused],
    ]
    text = "\n\n".join(
        [
            f"`/detect` with JPEGs of {size[0]}x{size[1]} at {times * capacity:.0f} requests/s for "
            f"{seconds:g} s, {times:g} times the capacity of {capacity:.1f}. The request timeout is "
            f"{deadline:g} s.",
            report.table(["response", "requests", "p50 ms", "p95 ms", "p99 ms"], rows),
            f"Responses by status: {flood.statuses}. Times count from sending a request; requests were sent "
            f"up to {lag:.0f} ms late (p99). {recovered:.1f} s after 5 s of this load, a single request was "
            f"answered within three times its usual {alone:.0f} ms.",
        ]
    )
    figures = {
        "capacity": capacity,
        "rows": rows,
        "statuses": flood.statuses,
        "client_lag_p99": lag,
        "recovery_s": recovered,
    }
    report.write("load-overload", text, figures, out)
    _require(set(flood.status) <= {200, 503} and accepted[-1] < deadline * 1e3 and recovered < 2)


@cli.command()
def soak(
    requests: Annotated[int, typer.Option(help="Number of requests.")] = 20_000,
    clients: Annotated[int, typer.Option(help="Number of clients.")] = 16,
    out: Out = report.RESULTS,
) -> None:
    """Send valid and invalid requests of all kinds. Each must get its status, and memory must not grow."""
    asks = mixed()
    memory: list[float] = []
    outcome = Outcome()
    with service() as served, tqdm(total=requests, unit="request", disable=None) as bar:
        step = max(1, requests // 100)
        for done in range(0, requests, step):
            count = min(step, requests - done)
            part = asyncio.run(closed(served.url, asks, clients, most=count))
            outcome.took += part.took
            outcome.status += part.status
            outcome.seconds += part.seconds
            outcome.wrong += part.wrong
            memory.append(served.memory_mb())
            bar.update(count)
    half = len(memory) // 2
    first, second = statistics.median(memory[:half]), statistics.median(memory[half:])
    highest = max(memory[:half]), max(memory[half:])
    growth = max(second / first, highest[1] / highest[0]) - 1
    rows = [
        ["first half", first, highest[0]],
        ["second half", second, highest[1]],
    ]
    text = "\n\n".join(
        [
            f"{len(outcome.status)} requests of all kinds from {clients} clients in {outcome.seconds:.0f} s. "
            f"Responses by status: {outcome.statuses}; {sum(outcome.wrong.values())} with a wrong status.",
            report.table(["resident memory", "median MiB", "maximum MiB"], rows),
            f"Growth: {growth:+.1%}.",
        ]
    )
    figures: dict[str, Any] = {
        "statuses": outcome.statuses,
        "wrong": dict(outcome.wrong),
        "growth": growth,
        "memory_mib": memory,
    }
    report.write("load-soak", text, figures, out)
    _require(not outcome.wrong and len(outcome.status) == requests and growth < 0.1)


@cli.command()
def memory(
    pictures: Annotated[int, typer.Option(help="Number of images.")] = 2000,
    early: Annotated[int, typer.Option(help="Number of images after which the peak is first read.")] = 200,
    megapixels: Annotated[tuple[float, float], typer.Option(help="Minimum and maximum size of an image.")] = (
        1,
        24,
    ),
    clients: Annotated[int, typer.Option(help="Number of clients.")] = 1,
    min_face_size: Annotated[float, typer.Option(help="Parameter min_face_size of the requests.")] = 20,
    out: Out = report.RESULTS,
) -> None:
    """Send images of random sizes, and compare the peak memory early in the run with that at its end."""
    path = f"/embed?min_face_size={min_face_size:g}"
    asks = (Ask(path, (picture,)) for picture in of_random_sizes(pictures, *megapixels))
    peaks: list[float] = []
    statuses: set[int] = set()
    with service() as served, tqdm(total=pictures, unit="image", disable=None) as bar:
        for count in (early, pictures - early):
            step = max(1, min(20, count))
            for done in range(0, count, step):
                most = min(step, count - done)
                part = asyncio.run(closed(served.url, asks, clients, most=most))
                statuses |= set(part.status)
                bar.update(len(part.status))
            peaks.append(served.memory_mb("VmHWM"))
    growth = peaks[1] / peaks[0] - 1
    text = (
        f"`/embed` with JPEGs of random size, {megapixels[0]:g} to {megapixels[1]:g} megapixels, "
        f"min_face_size {min_face_size:g}, {clients} client{'s' if clients > 1 else ''}. Peak memory: "
        f"{peaks[0]:.0f} MiB after {early} images, {peaks[1]:.0f} MiB after {pictures} ({growth:+.1%})."
    )
    figures = {"peak_mib": {early: peaks[0], pictures: peaks[1]}, "growth": growth}
    report.write("load-memory", text, figures, out)
    _require(statuses == {200} and growth < 0.1)


async def _recovery(served: Served, asks: list[Ask], rate: float, well: float) -> float:
    """Return the seconds from the end of an overload to a single request with a normal response time.

    Args:
        served: the service.
        asks: the requests.
        rate: requests per second of the overload, which lasts 5 s.
        well: maximum milliseconds of a normal response time.
    """
    await _flood(served, asks, rate, 5)
    start = time.perf_counter()
    async with Connections(served.url) as connections:
        while time.perf_counter() - start < 60:
            begun = time.perf_counter()
            if await connections.send(asks[0]) == 200 and (time.perf_counter() - begun) * 1e3 <= well:
                return begun - start
            await asyncio.sleep(0.05)
    return float("inf")


async def _flood(served: Served, asks: list[Ask], rate: float, seconds: float) -> None:
    """Send requests at a rate, and return when the last one is sent, without waiting for the responses."""
    flood = asyncio.create_task(open_(served.url, itertools.cycle(asks), rate, seconds))
    await asyncio.sleep(seconds)
    flood.add_done_callback(lambda done: done.cancelled() or done.exception())


def _median(runs: list[Outcome], value: Callable[[Outcome], float]) -> float:
    return statistics.median(value(run) for run in runs)


def _percentiles(runs: list[Outcome]) -> list[float]:
    return [_median(runs, lambda run, p=p: run.milliseconds(p)[0]) for p in PERCENTILES]  # type: ignore[misc]


def _of(rows: list[list[Any]], way: str, number: int) -> list[Any]:
    return next(row for row in rows if row[:2] == [way, number])


def _require(met: bool) -> None:
    if not met:
        sys.stderr.write("A requirement is not met.\n")
        raise typer.Exit(1)


if __name__ == "__main__":
    cli()
