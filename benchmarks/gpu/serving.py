"""Section: images per second and latency over HTTP, by the number of clients, with merging on and off."""

import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from benchmarks.client_processes import ClientProcesses
from benchmarks.clients import Outcome
from benchmarks.gpu.plan import Plan, Result, Table
from benchmarks.gpu.services import IMAGES, SIZE, asks_of, on_device, require_device

CLIENTS = (1, 2, 4, 8, 16, 32, 64)
WAYS = {"on": True, "off": False}
"""Merging of requests: how the report names it, and FACE_DYNAMIC_BATCHING."""

TARGETS = {"H200": 2000, "H100": 1200}
"""Images per second of `/detect` that a GPU should reach, by a word of its name."""

P99_MS = 25.0
"""Target for the 99th percentile of `/detect` at half of the maximum load, on these GPUs."""

_HEADS = ("route", "merging", "clients", "images/s", "p50 ms", "p99 ms", "CPU cores", "responses by status")


def measure(plan: Plan) -> Iterator[Result]:
    """Measure each route with closed loops, then with random arrivals at half of its maximum.

    Args:
        plan: the plan.

    Yields:
        The results, after each run.
    """
    clients = (1, 2) if plan.small else CLIENTS
    runs = len(IMAGES) * len(WAYS) * (len(clients) + 2)  # with the warm-up and the half load
    tables = Tables()
    with ExitStack() as running:
        senders = running.enter_context(ClientProcesses(1 if plan.small else None))
        ways = {
            way: running.enter_context(on_device(plan, dynamic_batching=batching, max_queue=max(CLIENTS)))
            for way, batching in WAYS.items()
        }
        for served in ways.values():
            require_device(served, plan)
        # A run ends with the responses to its last requests, which take the rest of the time.
        seconds = 0.3 if plan.small else max(0.3, min(5.0, 0.8 * plan.seconds_left / runs))
        note = (
            f"Runs of {seconds:.1f} s with the photos of tests/photos. Number of processes with clients: "
            f"{senders.most}. FACE_MAX_QUEUE={max(CLIENTS)}, so that no client is refused. The CPU cores "
            "are those that the service used."
        )
        for route in IMAGES:
            asks = asks_of(route)
            for served in ways.values():
                senders.closed(served.url, asks, clients[-1], seconds / 2)
            for count, (way, served) in itertools.product(clients, ways.items()):
                if not plan.seconds_left:
                    yield tables.result(plan, note).cut(f"{count} clients of {route}")
                    return
                before = served.cpu_s()
                found = senders.closed(served.url, asks, count, seconds)
                tables.closed.append(_row(route, way, count, found, served.cpu_s() - before))
                yield tables.result(plan, note)
            for way, served in ways.items():
                before = served.cpu_s()
                found = senders.open_(
                    served.url, asks, tables.best(route, way) / IMAGES[route] / 2, 2 * seconds
                )
                tables.half.append(_row(route, way, "any", found, served.cpu_s() - before))
            yield tables.result(plan, note)


def _row(route: str, way: str, clients: object, found: Outcome, cpu_s: float) -> list[object]:
    statuses = ", ".join(f"{status}: {count}" for status, count in found.statuses.items())
    rate = IMAGES[route] * found.rate
    return [route, way, clients, rate, *found.milliseconds(50, 99), cpu_s / found.seconds, statuses]


@dataclass
class Tables:
    """The rows that are measured so far, see `_HEADS`.

    Attributes:
        closed: rows of closed loops.
        half: rows of random arrivals at half of the maximum.
    """

    closed: list[list[Any]] = field(default_factory=list)
    half: list[list[Any]] = field(default_factory=list)

    def best(self, route: str, way: str) -> float:
        """Return the most images per second of a route.

        Raises:
            RuntimeError: no request has succeeded.
        """
        best = max(row[3] for row in self.closed if row[:2] == [route, way])
        if best == 0:
            raise RuntimeError(f"No request to {route} got status 200: {self.closed[-1][-1]}")
        return best

    def result(self, plan: Plan, note: str) -> Result:
        """Return the tables, with the targets of the GPU as soon as all their figures are measured."""
        closed = f"JPEGs of {SIZE[0]}x{SIZE[1]}. Each client sends its next request after a response."
        half = "Random arrivals at half of the maximum of the route."
        result = Result([Table(_HEADS, self.closed, closed), Table(_HEADS, self.half, half)], [note])
        targets = self._targets(plan.gpu)
        if targets:
            rows = [
                [what, required, measured, "yes" if met else "no"]
                for what, required, measured, met in targets
            ]
            result.tables.append(
                Table(("target", "required", "measured", "met"), rows, "Targets of this GPU.")
            )
        result.faults += [
            f"{what} {required:g}: measured {measured:.0f}"
            for what, required, measured, met in targets
            if not met
        ]
        return result

    def _targets(self, gpu: str) -> list[tuple[str, float, float, bool]]:
        """Return each target of a GPU, its value, what was measured, and whether that meets it."""
        required = target_of(gpu)
        p99 = next((row[5] for row in self.half if row[:2] == ["/detect", "on"]), None)
        if required is None or p99 is None:
            return []
        rate = self.best("/detect", "on")
        return [
            ("`/detect`, images/s, at least", required, rate, rate >= required),
            ("`/detect` at half load, p99 ms, less than", P99_MS, p99, p99 < P99_MS),
        ]


def target_of(gpu: str) -> float | None:
    """Return the images per second that a GPU should reach; None if it has no target.

    Args:
        gpu: the name of the GPU, as the driver reports it.
    """
    return next((rate for word, rate in TARGETS.items() if re.search(rf"\b{word}\b", gpu)), None)
