"""The service under load: throughput and latency, overload, a soak, and its memory.

    .venv/bin/python -m benchmarks.load throughput     # by the number of clients
    .venv/bin/python -m benchmarks.load overload       # ten times what it can do, for a minute
    .venv/bin/python -m benchmarks.load soak           # 20,000 requests of all kinds
    .venv/bin/python -m benchmarks.load memory         # 2,000 pictures of 1 to 24 megapixels

Each command starts the service itself, on this machine, whose cores the clients share with it. FACE_ settings
in the environment hold. It writes a table and its figures, and ends with status 1 where it misses what is
asked of the service.
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
from benchmarks.clients import Outcome, client, closed, open_, send
from benchmarks.pictures import Ask, mixed, of_random_sizes, same
from benchmarks.served import Served, service

PERCENTILES = (50, 95, 99)

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Out = Annotated[Path, typer.Option(help="where the table and the figures go")]
Size = Annotated[tuple[int, int], typer.Option(help="width and height of the pictures")]
Task = Annotated[str, typer.Option(help="detect, landmarks or embed")]


@cli.command()
def throughput(
    task: Task = "detect",
    size: Size = (1024, 768),
    clients: Annotated[str, typer.Option(help="numbers of clients")] = "1,2,4,8,16",
    seconds: Annotated[float, typer.Option(help="seconds of a turn")] = 15,
    turns: Annotated[int, typer.Option(help="turns each number of clients gets")] = 3,
    compare: Annotated[bool, typer.Option(help="also without dynamic batching, in turns (GPU)")] = False,
    out: Out = report.RESULTS,
) -> None:
    """Measure throughput and latency by the number of clients; then latency at 70% of the maximum."""
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
            f"`/{task}` of {width}x{height} JPEGs, the median of {turns} turns of {seconds:g} s.",
            report.table(["dynamic batching", "clients", "requests/s", "p50 ms", "p95 ms", "p99 ms"], rows),
            f"{numbers[-1]} clients against {numbers[0]}: {gain:.2f} times the requests a second.",
            f"At 70% of the most, {rate:.1f} requests/s coming at random: p50 {p50:.0f} ms, "
            f"p95 {p95:.0f} ms, p99 {p99:.0f} ms, p99 / p50 {p99 / p50:.2f}; answers {at70.statuses}.",
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
    seconds: Annotated[float, typer.Option(help="how long it lasts")] = 60,
    times: Annotated[float, typer.Option(help="times the capacity")] = 10,
    deadline: Annotated[float, typer.Option(help="the service's deadline in seconds")] = 30,
    out: Out = report.RESULTS,
) -> None:
    """Ten times the capacity: what is accepted is in time, the rest refused at once, and then all is well."""
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
            f"`/detect` of {size[0]}x{size[1]} JPEGs at {times * capacity:.0f} requests/s for {seconds:g} s, "
            f"{times:g} times the capacity of {capacity:.1f}; the deadline is {deadline:g} s.",
            report.table(["answer", "requests", "p50 ms", "p95 ms", "p99 ms"], rows),
            f"Answers {flood.statuses}; times are since the request was sent, up to {lag:.0f} ms (p99) after "
            f"it was due. {recovered:.1f} s after a flood of 5 s a lone request was answered within three "
            f"times its usual {alone:.0f} ms.",
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
    requests: Annotated[int, typer.Option(help="requests in all")] = 20_000,
    clients: Annotated[int, typer.Option(help="clients")] = 16,
    out: Out = report.RESULTS,
) -> None:
    """Requests of all kinds and sizes, good and bad: each has its answer, and memory does not grow."""
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
            f"{len(outcome.status)} requests of all kinds by {clients} clients in {outcome.seconds:.0f} s: "
            f"answers {outcome.statuses}, {sum(outcome.wrong.values())} others than the right one.",
            report.table(["resident memory", "median MiB", "most MiB"], rows),
            f"Growth {growth:+.1%}.",
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
    pictures: Annotated[int, typer.Option(help="pictures in all")] = 2000,
    early: Annotated[int, typer.Option(help="pictures after which the peak is first read")] = 200,
    megapixels: Annotated[tuple[float, float], typer.Option(help="least and most of a picture")] = (1, 24),
    clients: Annotated[int, typer.Option(help="clients")] = 1,
    min_face_size: Annotated[float, typer.Option(help="of each request")] = 20,
    out: Out = report.RESULTS,
) -> None:
    """Pictures of random sizes: the most memory the service ever took, early on and at the end."""
    path = f"/embed?min_face_size={min_face_size:g}"
    asks = (Ask(path, (picture,)) for picture in of_random_sizes(pictures, *megapixels))
    peaks: list[float] = []
    statuses: set[int] = set()
    with service() as served, tqdm(total=pictures, unit="picture", disable=None) as bar:
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
        f"`/embed` of JPEGs of {megapixels[0]:g} to {megapixels[1]:g} megapixels at random, min_face_size "
        f"{min_face_size:g}, {clients} client{'s' if clients > 1 else ''}: the most resident memory after "
        f"{early} pictures {peaks[0]:.0f} MiB, after {pictures} {peaks[1]:.0f} MiB, {growth:+.1%}."
    )
    figures = {"peak_mib": {early: peaks[0], pictures: peaks[1]}, "growth": growth}
    report.write("load-memory", text, figures, out)
    _require(statuses == {200} and growth < 0.1)


async def _recovery(served: Served, asks: list[Ask], rate: float, well: float) -> float:
    """Seconds after a flood until a lone request is answered within so many milliseconds."""
    await _flood(served, asks, rate, 5)
    start = time.perf_counter()
    async with client(served.url) as http:
        while time.perf_counter() - start < 60:
            begun = time.perf_counter()
            if await send(http, asks[0]) == 200 and (time.perf_counter() - begun) * 1e3 <= well:
                return begun - start
            await asyncio.sleep(0.05)
    return float("inf")


async def _flood(served: Served, asks: list[Ask], rate: float, seconds: float) -> None:
    """A flood that ends when its last request has been sent, with answers still to come."""
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
        sys.stderr.write("a requirement is missed\n")
        raise typer.Exit(1)


if __name__ == "__main__":
    cli()
