"""The gallery under load: enrolment, start, memory, and identification by the number of faces.

    .venv/bin/python -m benchmarks.gallery_load --faces 0,100000,1000000

For each number of faces a gallery of random vectors is made, ten faces a person, and the service is started
on it. The clients share the cores with the service. `/embed` of the same images beside `identify` shows what
the search costs.
"""

import asyncio
import io
import itertools
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import numpy as np
import typer
from PIL import Image as Pil

from app.gallery.contract import contract_of
from app.gallery.records import Face, Limits, Person, PersonDetails, PersonRecord
from app.gallery.sqlite_store import SqliteStore
from app.settings import Settings
from app.wiring import load_analyzer
from benchmarks import report
from benchmarks.clients import closed
from benchmarks.pictures import Ask
from benchmarks.served import service

MODEL = "fused"
FACES_PER_PERSON = 10
PHOTO = Path("tests/photos/obama.jpg")
CLIENTS = (1, 16)


def records(faces: int, dimension: int, seed: int = 0) -> Iterator[PersonRecord]:
    """Yield people with random faces, ten each.

    Args:
        faces: number of faces.
        dimension: length of a vector.
        seed: seed of the vectors.
    """
    random, now = np.random.default_rng(seed), datetime.now(UTC)

    def new_id() -> str:
        return UUID(bytes=random.bytes(16), version=4).hex

    for start in range(0, faces, FACES_PER_PERSON):
        count = min(FACES_PER_PERSON, faces - start)
        centre = random.standard_normal(dimension)
        vectors = (centre + 0.5 * random.standard_normal((count, dimension))).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        person = Person(0, new_id(), PersonDetails(name=f"Person {start // FACES_PER_PERSON}"), count, now)
        yield PersonRecord(
            person,
            [
                Face(0, new_id(), person.id, (0, 0, 100, 100), 0.99, None, random.bytes(32), now, None)
                for _ in range(count)
            ],
            vectors,
        )


def photos(count: int) -> list[bytes]:
    """Return JPEGs of one portrait that differ in a few pixels."""
    picture = np.asarray(Pil.open(PHOTO).convert("RGB")).copy()
    out = []
    for n in range(count):
        picture[:8, :8] = n % 256
        data = io.BytesIO()
        Pil.fromarray(picture).save(data, "JPEG", quality=90)
        out.append(data.getvalue())
    return out


def main(
    faces: Annotated[str, typer.Option(help="Numbers of faces, separated by commas.")] = "0,100000,1000000",
    seconds: Annotated[float, typer.Option(help="Seconds per run.")] = 20,
    turns: Annotated[int, typer.Option(help="Number of runs of each kind, in turns.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = report.RESULTS,
) -> None:
    """Measure the gallery, and write a table."""
    analyzer = load_analyzer(Settings(), only={"detect": None, "embed": MODEL})
    contract, dimension = contract_of(analyzer, MODEL), analyzer.embedder(MODEL).spec.dimension
    del analyzer
    rows = []
    for number in map(int, faces.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "gallery.db"
            rows.append(_measure(number, path, contract, dimension, seconds, turns))
    heads = [
        "faces", "import faces/s", "file MiB", "start s", "memory MiB", "first identify ms",
        *(f"{what} {clients}: {value}" for clients in CLIENTS for what in ("embed", "identify")
          for value in ("p50 ms", "p99 ms", "requests/s")),
        "enrol images/s",
    ]  # fmt: skip
    text = (
        f"`/embed` and `identify` of a portrait ({PHOTO}) with 1 and 16 clients, {turns} runs of {seconds:g} "
        f"s each in turns; {FACES_PER_PERSON} faces a person, vectors of {dimension} numbers. `start` is "
        "the time until `/readyz` answers 200, `memory` the resident memory after the run.\n\n"
        f"{_turned(heads, rows)}"
    )
    report.write("gallery-load", text, {"heads": heads, "rows": rows}, out)


def _measure(
    number: int, path: Path, contract: str, dimension: int, seconds: float, turns: int
) -> list[object]:
    """Return the row of the table for a number of faces."""
    store = SqliteStore(path, Limits(faces=2_000_000))
    store.create_collection("people", MODEL, contract, dimension)
    begun = time.perf_counter()
    if number:
        store.import_records("people", contract, records(number, dimension))
    rate = number / (time.perf_counter() - begun)
    store.close()
    size = sum(file.stat().st_size for file in path.parent.iterdir()) / (1 << 20)
    begun = time.perf_counter()
    with service(poll=0.01, gallery=path, models="cascade,fused", max_gallery_faces=2_000_000) as served:
        start = time.perf_counter() - begun
        image = PHOTO.read_bytes()
        asks = {
            "embed": Ask("/embed", (image,), 200),
            "identify": Ask("/collections/people/identify", (image,), 200),
        }
        first = asyncio.run(closed(served.url, itertools.cycle([asks["identify"]]), 1, most=1))
        runs: dict[tuple[int, str], list[list[float]]] = {}
        for _, clients, (what, ask) in itertools.product(range(turns), CLIENTS, asks.items()):
            found = asyncio.run(closed(served.url, itertools.cycle([ask]), clients, seconds=seconds))
            assert not found.wrong, found.wrong
            runs.setdefault((clients, what), []).append([*found.milliseconds(50, 99), found.rate])
        medians = [np.median(run, axis=0).tolist() for run in runs.values()]
        enrolled = asyncio.run(enrolled_per_second(served.url, photos(100)))
        memory = served.memory_mb()
    return [
        number, rate, size, start, memory, first.took[0] * 1e3,
        *(value for run in medians for value in run), enrolled,
    ]  # fmt: skip


async def enrolled_per_second(url: str, images: list[bytes]) -> float:
    """Return the images a second that `.../faces` stores, with two clients and a person for each image."""
    import httpx

    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        people = [(await http.post("/collections/people/people", json={})).json()["id"] for _ in images]
        queue = list(zip(people, images, strict=True))
        begun = time.perf_counter()

        async def run() -> None:
            while queue:
                person, image = queue.pop()
                answer = await http.post(
                    f"/collections/people/people/{person}/faces",
                    content=image,
                    headers={"content-type": "image/jpeg"},
                )
                assert "face" in answer.json()["results"][0], answer.text

        await asyncio.gather(run(), run())
        return len(images) / (time.perf_counter() - begun)


def _turned(heads: list[str], rows: list[list[object]]) -> str:
    """Return a table with a column for each number of faces."""
    columns = list(zip(*rows, strict=True))
    names = ["", *(f"{number:,} faces" for number in columns[0])]
    return report.table(names, [[head, *values] for head, values in zip(heads[1:], columns[1:], strict=True)])


if __name__ == "__main__":
    typer.run(main)
