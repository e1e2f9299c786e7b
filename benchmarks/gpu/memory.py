"""Section: the memory of the GPU and of the process over many images of random sizes."""

import asyncio
import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from app.runtime.gpu_memory import used_and_total
from benchmarks.clients import closed
from benchmarks.gpu.plan import Plan, Result, Table
from benchmarks.gpu.services import on_device, require_device
from benchmarks.pictures import Ask, jpeg

IMAGES = 2000
CHUNK = 50
"""Images between two readings of the memory."""

SIDES = (160, 2000)
"""Minimum and maximum width and height of an image."""

CLIENTS = 8

MAX_GROWTH = 0.05
"""The greatest growth of memory that counts as level."""


@dataclass(frozen=True)
class Trend:
    """The trend of a series of memory readings, without its first quarter, in which memory is first filled.

    Attributes:
        per_thousand: slope of the straight line of least squares, in MiB per 1,000 images.
        growth: growth of the line over the series, as a share of the median.
    """

    per_thousand: float
    growth: float

    @property
    def level(self) -> bool:
        """Whether memory does not grow."""
        return self.growth <= MAX_GROWTH


def trend(images: Sequence[int], mib: Sequence[float]) -> Trend | None:
    """Return the trend of memory; None if there are fewer than three readings after the first quarter.

    Args:
        images: number of images before each reading, ascending.
        mib: the readings in MiB.
    """
    first = len(images) // 4
    x, y = np.asarray(images[first:], float), np.asarray(mib[first:], float)
    if len(x) < 3:
        return None
    slope = float(np.polyfit(x, y, 1)[0])
    return Trend(1000 * slope, slope * float(x[-1] - x[0]) / float(np.median(y)))


def measure(plan: Plan) -> Iterator[Result]:
    """Send images of random sizes to `/embed`, and read the memory after each chunk.

    Args:
        plan: the plan.

    Yields:
        The results, after each chunk.

    Raises:
        RuntimeError: a request failed.
    """
    random = np.random.default_rng(0)
    most, chunk = (24, 4) if plan.small else (IMAGES, CHUNK)
    readings: list[tuple[int, float, float | None]] = []
    with on_device(plan) as served, ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) // 4)) as makers:
        require_device(served, plan)
        for done in range(0, most, chunk):
            if not plan.seconds_left:
                yield _result(readings, most, plan.small).cut(f"image {done + 1} of {most}")
                return
            sizes = random.integers(*SIDES, (chunk, 2)) // (4 if plan.small else 1)
            files = list(
                makers.map(lambda job: jpeg(int(job[1][0]), int(job[1][1]), job[0]), enumerate(sizes, done))
            )
            asks = itertools.cycle([Ask("/embed", (file,)) for file in files])
            found = asyncio.run(closed(served.url, asks, CLIENTS, most=chunk))
            if found.wrong:
                raise RuntimeError(f"Requests failed: {dict(found.wrong)}")
            readings.append((done + chunk, served.memory_mb(), _gpu_mib(plan)))
            yield _result(readings, most, plan.small)


def _result(readings: Sequence[tuple[int, float, float | None]], most: int, small: bool) -> Result:
    images = [reading[0] for reading in readings]
    series = {
        "process": [reading[1] for reading in readings],
        "GPU": [reading[2] for reading in readings if reading[2] is not None],
    }
    result = Result(
        [Table(("images", "process MiB", "GPU MiB"), readings, "Memory after the images so far.")]
    )
    rows: list[list[object]] = []
    for name, mib in series.items():
        found = trend(images, mib) if len(mib) == len(images) else None
        if found is None:
            rows.append([name, None, None, None])
            continue
        rows.append([name, found.per_thousand, f"{found.growth:+.1%}", "level" if found.level else "growing"])
        if not found.level and images[-1:] == [most] and not small:  # a short series still fills memory
            result.faults.append(f"the memory of the {name} grows: {found.growth:+.1%}")
    heads = ("memory of", "MiB per 1,000 images", "growth of the line", "trend")
    result.tables.insert(0, Table(heads, rows))
    result.notes.append(
        f"`/embed` of {most} JPEGs with sides of {SIDES[0]} to {SIDES[1]} pixels from {CLIENTS} "
        "clients. The line is that of least squares without the first quarter; growth of at most "
        f"{MAX_GROWTH:.0%} is level. The GPU's memory is that of all processes on it."
    )
    return result


def _gpu_mib(plan: Plan) -> float | None:
    """Return the used memory of the GPU in MiB; None on a CPU, or if the driver does not report it."""
    name = f"cuda:{plan.device.index}"
    used = {} if plan.device.on_cpu else {gpu: bytes_ for gpu, bytes_, _ in used_and_total()}
    return used[name] / (1 << 20) if name in used else None
