"""Facet beside other face services over HTTP: throughput, latency, memory and start, on the same machine.

    make bench-http

The services are Facet, a small service with FastAPI and OpenCV (`benchmarks.opencv_service`), and deepface's
API. They run one after another on the loopback address, and this sequence is repeated. The clients share the
cores with the service. All services get the same JPEG files, as parts of a form that is encoded beforehand.
"""

import asyncio
import itertools
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from tqdm import tqdm

from benchmarks import report
from benchmarks.clients import Outcome, closed
from benchmarks.http_services import DETECT, SIZE, VERIFY, Contender, NoAnswer, contenders, started
from benchmarks.served import memory_mb
from training.evaluation.user_errors import one_line_errors
from training.reports import markdown

CLIENTS = [1, 4, 16]
README, MARK = Path("README.md"), "peers-http"

TITLES = {
    DETECT: f"Detection in photos of {SIZE[0]}x{SIZE[1]}",
    VERIFY: f"Verification of two photos of {SIZE[0]}x{SIZE[1]}",
}

_WARM_UP = 12
"""Requests per task before a measurement."""


Row = list[Any]
"""The cells of a row of a table."""


@dataclass(frozen=True)
class Round:
    """The measurements of one run of a service.

    Attributes:
        start_s: seconds from the start of the process to the first answer to a verification.
        memory: resident memory of all its processes at the end, in MiB.
        outcomes: the results by task and number of clients.
    """

    start_s: float
    memory: float
    outcomes: dict[tuple[str, int], Outcome]


def measure(contender: Contender, clients: Sequence[int], seconds: float) -> Round:
    """Start a service and measure it.

    Args:
        contender: the service.
        clients: numbers of clients.
        seconds: duration of each run.

    Returns:
        The measurements.

    Raises:
        NoAnswer: the service does not start, or refuses a request.
    """
    outcomes: dict[tuple[str, int], Outcome] = {}
    asks = contender.asks()
    with started(contender, asks[VERIFY][0]) as (url, pid, start_s):
        for requests in asks.values():
            asyncio.run(closed(url, itertools.cycle(requests), 4, most=_WARM_UP))
        for task, number in itertools.product(asks, clients):
            outcome = asyncio.run(closed(url, itertools.cycle(asks[task]), number, seconds=seconds))
            if outcome.wrong:
                wrong = "; ".join(f"{what} ({count} times)" for what, count in outcome.wrong.items())
                raise NoAnswer(
                    f"{contender.name} did not answer all requests: {wrong}. Measure it without "
                    "other load on this machine."
                )
            outcomes[task, number] = outcome
        return Round(start_s, memory_mb(pid), outcomes)


def load_rows(rounds: Mapping[str, Sequence[Round]], task: str, clients: Sequence[int]) -> list[Row]:
    """Return a row for each number of clients and each service that has the task.

    The rates and the ratios are medians over the rounds, the percentiles are those of all rounds together.
    """
    first = next(iter(rounds.values()))
    rows: list[Row] = []
    for number, (name, runs) in itertools.product(clients, rounds.items()):
        if (task, number) not in runs[0].outcomes:
            continue
        each = [run.outcomes[task, number] for run in runs]
        base = [run.outcomes[task, number].rate for run in first]
        ratio = statistics.median(one.rate / of for one, of in zip(each, base, strict=True))
        times = np.percentile([took for one in each for took in one.took], (50, 99)) * 1e3
        rate = statistics.median(one.rate for one in each)
        rows.append([number, name, f"{rate:.1f}", f"{ratio:.2f}", *times.tolist()])
    return rows


def size_rows(rounds: Mapping[str, Sequence[Round]]) -> list[Row]:
    """Return a row for each service with its memory and its start: medians over the rounds."""
    return [
        [
            name,
            statistics.median(run.memory for run in runs),
            f"{statistics.median(run.start_s for run in runs):.1f}",
        ]
        for name, runs in rounds.items()
    ]


def summary(tables: Mapping[str, list[Row]], sizes: list[Row]) -> str:
    """Return a short Markdown table: the time with the fewest clients, the throughput with the most.

    Args:
        tables: for each task what `load_rows` returns.
        sizes: what `size_rows` returns.
    """
    few, many = (pick(row[0] for row in tables[VERIFY]) for pick in (min, max))
    of = {(task, row[0], row[1]): row for task, rows in tables.items() for row in rows}
    rows = []
    for name, memory, start_s in sizes:
        cells = [str(name)]
        for task in (DETECT, VERIFY):
            alone, loaded = of.get((task, few, name)), of.get((task, many, name))
            cells += (
                [f"{alone[4]:.0f} ms", f"{loaded[2]} requests/s"] if alone and loaded else ["none", "none"]
            )
        rows.append([*cells, f"{memory:.0f} MiB", f"{start_s} s"])
    columns = [
        text
        for task in (DETECT, VERIFY)
        for text in (f"`{task}`, {_clients(few)}, p50", f"`{task}`, {_clients(many)}")
    ]
    return markdown.table(["service", *columns, "memory", "start"], rows)


def _clients(number: int) -> str:
    return f"{number} client{'s' if number > 1 else ''}"


def main(
    deepface: Annotated[
        Path | None, typer.Option(help="Folder `bin` of an environment with deepface[api].")
    ] = None,
    clients: Annotated[
        list[int], typer.Option(min=1, help="A number of clients; may be repeated.")
    ] = CLIENTS,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds per run.")] = 4,
    turns: Annotated[int, typer.Option(min=1, help="Number of runs of each service.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for the tables and the figures.")] = report.RESULTS,
    page: Annotated[Path, typer.Option(help="The page whose short table is replaced.")] = README,
) -> None:
    """Measure the services in turns, and write the tables."""
    with one_line_errors():
        out.mkdir(parents=True, exist_ok=True)  # the measurement takes minutes
    in_use = report.cores_in_use()
    rounds: dict[str, list[Round]] = {}
    with one_line_errors(), tempfile.TemporaryDirectory() as home:
        services = contenders(deepface, Path(home))
        for _, contender in tqdm(list(itertools.product(range(turns), services)), unit="run", disable=None):
            rounds.setdefault(contender.name, []).append(measure(contender, clients, seconds))
    tables = {task: load_rows(rounds, task, clients) for task in TITLES}
    how = (
        f"Medians of {turns} runs of {seconds:g} s. A ratio is the median of the ratios of the runs. The "
        "percentiles are those of all runs together. The memory is the resident memory of all processes "
        "of a service; pages that they share count more than once. The clients run on the same cores."
    )
    with one_line_errors():
        write(tables, size_rows(rounds), how, out)
        short = summary(tables, size_rows(rounds))
        markdown.fill(page, MARK, f"{short}\n\n{report.note_with_load(in_use)}")


def write(tables: Mapping[str, list[Row]], sizes: list[Row], how: str, out: Path) -> None:
    """Write the report with all tables.

    Args:
        tables: for each task what `load_rows` returns.
        sizes: what `size_rows` returns.
        how: how it was measured.
        out: folder for the tables and the figures.
    """
    head = ["clients", "service", "requests/s", "ratio to Facet", "p50 ms", "p99 ms"]
    text = "\n\n".join(
        [
            "# Facet and other services over HTTP",
            *(f"{title}:\n\n{report.table(head, tables[task])}" for task, title in TITLES.items()),
            "Memory after these requests, and the time from the start to the first verification:",
            report.table(["service", "MiB", "start, s"], sizes),
            how,
        ]
    )
    report.write("peers-http", text, {**tables, "sizes": sizes, "how": how}, out)


if __name__ == "__main__":
    typer.run(main)
