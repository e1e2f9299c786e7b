"""Section: the time from the command to readiness, and of the first request against later ones."""

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator

from benchmarks.clients import closed
from benchmarks.gpu.plan import Plan, Result, Table
from benchmarks.gpu.services import IMAGES, SIZE, asks_of, on_device, require_device

STARTS = 3
LATER = 20
"""Requests of each route after the first."""


def measure(plan: Plan) -> Iterator[Result]:
    """Start the service several times, and send each route its first requests.

    Args:
        plan: the plan.

    Yields:
        The results, after each start.

    Raises:
        RuntimeError: a request failed.
    """
    rows: list[list[object]] = []
    heads = ["start", "ready after s"]
    for route in IMAGES:
        heads += [f"{route}: first ms", "later, median ms"]
    note = f"All models; one client, JPEGs of {SIZE[0]}x{SIZE[1]}. Ready is the first 200 of /readyz."
    for number in range(1 if plan.small else STARTS):
        if not plan.seconds_left:
            yield Result([Table(heads, rows)], [note]).cut(f"start {number + 1}")
            return
        begun = time.perf_counter()
        with on_device(plan, poll=0.01) as served:
            ready = time.perf_counter() - begun
            require_device(served, plan)
            row: list[object] = [number + 1, ready]
            for route in IMAGES:
                asks = itertools.cycle(asks_of(route))
                found = asyncio.run(closed(served.url, asks, 1, most=1 + (3 if plan.small else LATER)))
                if found.wrong:
                    raise RuntimeError(f"Requests failed: {dict(found.wrong)}")
                first, *later = found.took
                row += [1e3 * first, 1e3 * statistics.median(later)]
        rows.append(row)
        yield Result([Table(heads, rows)], [note])
