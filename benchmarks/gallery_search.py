"""Search of a gallery: Facet's index beside numpy, FAISS and usearch, all exact.

    .venv-bench/bin/python -m benchmarks.gallery_search

The gallery has four random unit vectors around a random centre for each person, and a probe is another one.
Each client is a thread that searches without a pause. The systems run in turns, so that other work on the
machine disturbs all of them.
"""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import faiss
import numpy as np
import typer
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm
from usearch.index import MetricKind
from usearch.index import search as usearch_search

from app.gallery.index import VectorIndex
from app.gallery.records import FaceVectors
from app.runtime.device import Device
from app.runtime.search_net import SearchSession
from app.runtime.telemetry import Telemetry
from benchmarks import report

TOP = 5
FACES_PER_PERSON = 4
PROBES = 512
NOISE = 0.8
"""Length of the random vector that is added to the centre of a person, which has length 1."""

BATCH = 10_000

Search = Callable[[Float32[ndarray, " d"]], int]
"""Searches for the best faces or people of a probe, and returns the key of the best face."""


class Products(Telemetry):
    """Counts the products, and the searches that shared them."""

    def __init__(self) -> None:
        self.products = 0
        self.searches = 0

    def batch(self, model: str, stage: str, requests: int, items: int) -> None:
        """Count a product."""
        self.products += 1
        self.searches += requests


@dataclass
class Measured:
    """The times of one system with one number of clients.

    Attributes:
        seconds: time of each search.
        rates: searches per second in each turn.
        cpu_seconds: time of the processor for all searches.
    """

    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0


def main(
    faces: Annotated[str, typer.Option(help="Numbers of faces.")] = "100000,1000000",
    dimensions: Annotated[str, typer.Option(help="Lengths of a vector.")] = "256,512",
    clients: Annotated[str, typer.Option(help="Numbers of clients.")] = "1,16",
    seconds: Annotated[float, typer.Option(help="Seconds of a turn.")] = 4.0,
    turns: Annotated[int, typer.Option(help="Turns of each system.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = report.RESULTS,
) -> None:
    """Measure the time of a search, and the memory, side by side."""
    rows: list[dict[str, Any]] = []
    for count in map(int, faces.split(",")):
        for dimension in map(int, dimensions.split(",")):
            rows += _measure_gallery(count, dimension, [int(n) for n in clients.split(",")], seconds, turns)
            gc.collect()
    text = (
        f"{report.table(list(rows[0]), [list(row.values()) for row in rows])}\n\n`ratio`: searches per "
        "second of the fastest system of a turn, divided by those of this one (median). `CPU ms`: "
        "time of the processor per search. `shared`: "
        f"searches per product. numpy {np.__version__}, faiss-cpu {version('faiss-cpu')}, "
        f"usearch {version('usearch')}."
    )
    report.write("gallery-search", text, {"rows": rows}, out)


def _measure_gallery(
    faces: int, dimension: int, clients: list[int], seconds: float, turns: int
) -> list[dict[str, Any]]:
    gallery, probes = _vectors(faces, dimension)
    products = Products()
    systems: dict[str, Search] = {}
    memory: dict[str, float] = {}
    builders: list[tuple[str, Callable[[], Search], bool]] = [
        ("Facet", lambda: _facet(gallery, products), False),
        ("numpy", lambda: _numpy(gallery), True),
        ("FAISS IndexFlatIP", lambda: _faiss(gallery), False),
        ("usearch exact", lambda: _usearch(gallery), True),
    ]
    for name, build, uses_gallery in builders:
        before = _resident_bytes()
        systems[name] = build()
        _turn(systems[name], probes, max(clients), 0.5)
        grown = _resident_bytes() - before + (gallery.nbytes if uses_gallery else 0)
        memory[name] = grown / 2**20
    best = {name: [search(probe) for probe in probes[:20]] for name, search in systems.items()}
    if any(found != best["Facet"] for found in best.values()):
        raise SystemExit("The systems do not find the same faces.")
    rows = []
    for number in clients:
        measured = {name: Measured() for name in systems}
        products.products = products.searches = 0
        for _ in tqdm(range(turns), desc=f"{faces} x {dimension}, {number} clients", disable=None):
            for name, search in systems.items():
                cpu = time.process_time()
                times, elapsed = _turn(search, probes, number, seconds)
                measured[name].cpu_seconds += time.process_time() - cpu
                measured[name].seconds += times
                measured[name].rates.append(len(times) / elapsed)
        fastest = np.max([m.rates for m in measured.values()], axis=0)
        for name, m in measured.items():
            rows.append(
                {
                    "faces": faces,
                    "dimension": dimension,
                    "clients": number,
                    "system": name,
                    "p50 ms": float(np.percentile(m.seconds, 50)) * 1e3,
                    "p99 ms": float(np.percentile(m.seconds, 99)) * 1e3,
                    "searches/s": float(np.median(m.rates)),
                    "CPU ms": m.cpu_seconds / len(m.seconds) * 1e3,
                    "ratio": f"{np.median(fastest / m.rates):.2f}",
                    "MiB": memory[name],
                    "shared": f"{products.searches / products.products:.1f}" if name == "Facet" else "",
                }
            )
    return rows


def _vectors(
    faces: int, dimension: int
) -> tuple[Float32[ndarray, "faces dimension"], Float32[ndarray, "probes dimension"]]:
    """Return the vectors of a gallery and of probes, of the same people."""
    random = np.random.default_rng(0)
    centres = _unit(random.standard_normal((faces // FACES_PER_PERSON, dimension), np.float32))
    gallery = np.empty((faces, dimension), np.float32)
    for rows in _slices(faces):
        people = np.arange(rows.start, rows.stop) // FACES_PER_PERSON
        gallery[rows] = _near(random, centres[people])
    return gallery, _near(random, centres[random.integers(0, len(centres), PROBES)])


def _near(random: np.random.Generator, centres: Float32[ndarray, "n d"]) -> Float32[ndarray, "n d"]:
    return _unit(centres + NOISE * _unit(random.standard_normal(centres.shape, np.float32)))


def _unit(vectors: Float32[ndarray, "n d"]) -> Float32[ndarray, "n d"]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _slices(faces: int) -> Iterator[slice]:
    for start in range(0, faces, BATCH):
        yield slice(start, min(faces, start + BATCH))


def _facet(gallery: Float32[ndarray, "n d"], telemetry: Telemetry) -> Search:
    index = VectorIndex(gallery.shape[1], SearchSession(Device("cpu"), telemetry))
    for rows in _slices(len(gallery)):
        keys = range(rows.start, rows.stop)
        index.add(FaceVectors(keys, [key // FACES_PER_PERSON for key in keys], gallery[rows]))
    return lambda probe: index.search(probe[None], TOP)[0][0].face


def _numpy(gallery: Float32[ndarray, "n d"]) -> Search:
    def search(probe: Float32[ndarray, " d"]) -> int:
        products = gallery @ probe
        best = np.argpartition(products, -TOP)[-TOP:]
        return int(best[products[best].argmax()])

    return search


def _faiss(gallery: Float32[ndarray, "n d"]) -> Search:
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(gallery)
    return lambda probe: int(index.search(probe[None], TOP)[1][0, 0])


def _usearch(gallery: Float32[ndarray, "n d"]) -> Search:
    return lambda probe: int(usearch_search(gallery, probe, TOP, MetricKind.IP, exact=True).keys[0])


def _turn(
    search: Search, probes: Float32[ndarray, "n d"], clients: int, seconds: float
) -> tuple[list[float], float]:
    """Search with several threads for some seconds.

    Returns:
        The time of each search, and that of the turn.
    """
    times: list[list[float]] = [[] for _ in range(clients)]
    ready = threading.Barrier(clients + 1)
    begun = [0.0]

    def client(number: int) -> None:
        ready.wait()
        last = begun[0] = begun[0] or time.perf_counter()
        end = last + seconds
        probe = number
        while last < end:
            search(probes[probe % len(probes)])
            now = time.perf_counter()
            times[number].append(now - last)
            last, probe = now, probe + clients

    threads = [threading.Thread(target=client, args=[number]) for number in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    for thread in threads:
        thread.join()
    return [second for some in times for second in some], time.perf_counter() - begun[0]


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    typer.run(main)
