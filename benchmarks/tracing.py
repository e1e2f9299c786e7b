"""What traces cost: requests per second and CPU time, without traces, with them, and with no collector.

    .venv/bin/python -m benchmarks.tracing

The three services run at the same time, and take turns. The clients share the cores with the service, and
the collector reads the spans and discards them.
"""

import asyncio
import itertools
import os
import statistics
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from benchmarks import report
from benchmarks.clients import Outcome, closed
from benchmarks.pictures import Ask, same
from benchmarks.served import Served, service

NOBODY = "http://127.0.0.1:1"
CLIENTS = 4
TASKS = {
    "`/detect` of 640x480": same("/detect", 640, 480),
    "`/detect` of a body that is no image": [Ask("/detect", (b"no image",), 422)],
}


class _Sink(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def collector() -> Iterator[str]:
    """Run a collector that discards what it receives, and yield its address.

    Yields:
        The address.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def run(served: Served, asks: list[Ask], seconds: float) -> tuple[float, float]:
    """Return the answers per second, and the milliseconds of CPU time that the service takes for one."""
    before = served.cpu_s()
    outcome: Outcome = asyncio.run(closed(served.url, itertools.cycle(asks), CLIENTS, seconds=seconds))
    assert not outcome.wrong, outcome.wrong
    answers = len(outcome.status)
    return answers / outcome.seconds, (served.cpu_s() - before) * 1e3 / answers


def main(
    seconds: Annotated[float, typer.Option(help="Seconds per run.")] = 5,
    turns: Annotated[int, typer.Option(help="Number of runs per service and task.")] = 7,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = report.RESULTS,
) -> None:
    """Measure what traces cost."""
    with ExitStack() as running:
        sink = running.enter_context(collector())
        ways = {"no traces": "", "traces": sink, "traces, no collector": NOBODY}
        services = {
            way: running.enter_context(
                service(models="cascade", gallery="off", log_level="error", otlp_endpoint=url)
            )
            for way, url in ways.items()
        }
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        loads = [os.getloadavg()[0]]
        plan = list(itertools.product(range(turns + 1), TASKS, services))
        for turn, task, way in tqdm(plan, unit="run", disable=None):
            result = run(services[way], TASKS[task], seconds)
            if turn:  # the first warms up
                found.setdefault((task, way), []).append(result)
        loads.append(os.getloadavg()[0])
    rows = []
    for (task, way), results in found.items():
        first = found[task, "no traces"]
        rates, cpu = (list(values) for values in zip(*results, strict=True))
        ratio = statistics.median(a[0] / b[0] for a, b in zip(results, first, strict=True))
        cpu_ratio = statistics.median(a[1] / b[1] for a, b in zip(results, first, strict=True))
        rows.append(
            [task, way, statistics.median(rates), f"{ratio:.3f}", statistics.median(cpu), f"{cpu_ratio:.3f}"]
        )
    heads = ["request", "service", "requests/s", "ratio", "CPU ms/request", "ratio"]
    text = report.table(heads, rows) + (
        f"\n\nMedians of {turns} runs of {seconds:g} s with {CLIENTS} clients; ratios are medians of turns. "
        f"Load of the machine before and after: {loads[0]:.1f} and {loads[1]:.1f}."
    )
    figures = {f"{task}: {way}": results for (task, way), results in found.items()}
    report.write("tracing", text, figures, out)


if __name__ == "__main__":
    typer.run(main)
