"""The gallery in SQLite and in PostgreSQL: import, start, memory, enrolment and identification.

    .venv/bin/python -m benchmarks.gallery_postgres --faces 100000

A gallery of random vectors, ten faces a person, is imported into a file and into a database, and the service
is started on it with each kind of search. A PostgreSQL server of the development environment is started in
a temporary folder; `--recall` measures what its HNSW index finds.
"""

import asyncio
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import psycopg
import typer
from jaxtyping import Float32
from numpy import ndarray

from app.gallery.contract import contract_of
from app.gallery.index import best_people
from app.gallery.postgres.schema import INDEXES_WITHOUT_STATISTICS
from app.gallery.postgres.search import StoreSearch, index_sql
from app.gallery.postgres_store import PostgresStore
from app.gallery.records import Limits
from app.gallery.sqlite_store import SqliteStore
from app.settings import Settings
from app.wiring import load_analyzer
from benchmarks import report
from benchmarks.clients import closed
from benchmarks.gallery_load import MODEL, PHOTO, enrolled_per_second, photos, records
from benchmarks.pictures import Ask
from benchmarks.served import Served, service
from tests.postgres import Server

LIMITS = Limits(faces=2_000_000)
DIMENSION = 256
KINDS = ("sqlite", "memory", "hnsw", "exact")


@contextmanager
def database() -> Iterator[Server]:
    """Run a server with an empty database while the context is open.

    Yields:
        The server.
    """
    server = Server().start()
    try:
        server.sql("CREATE EXTENSION vector")
        yield server
    finally:
        server.remove()


cli = typer.Typer(add_completion=False)


@cli.command()
def load(
    faces: Annotated[int, typer.Option(help="Number of faces.")] = 100_000,
    seconds: Annotated[float, typer.Option(help="Seconds per run.")] = 4,
    turns: Annotated[int, typer.Option(help="Number of runs of each kind, in turns.")] = 5,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = report.RESULTS,
) -> None:
    """Measure a service with each store and search, all in turns, and write a table."""
    analyzer = load_analyzer(Settings(), only={"detect": None, "embed": MODEL})
    contract = contract_of(analyzer, MODEL)
    del analyzer
    with database() as server, tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        file = Path(folder) / "gallery.db"
        rates = {
            "sqlite": _import(SqliteStore(file, LIMITS), contract, faces),
            "memory": _import(PostgresStore(server.uri(), LIMITS), contract, faces),
        }
        begun = time.perf_counter()
        _make_index(server)
        build = time.perf_counter() - begun
        services, starts = {}, {}
        for kind in KINDS:
            begun = time.perf_counter()
            gallery, search = (file, "memory") if kind == "sqlite" else (server.uri(), kind)
            settings = {"gallery": gallery, "gallery_search": search, "models": "cascade,fused"}
            services[kind] = running.enter_context(service(poll=0.01, **settings))
            starts[kind] = time.perf_counter() - begun
        found = _in_turns(services, seconds, turns)
        memory = {kind: one.memory_mb() for kind, one in services.items()}
        size = int(server.sql("SELECT pg_database_size('postgres')")) / (1 << 20)
    rows = [[kind, rates.get(kind, ""), starts[kind], memory[kind], *found[kind]] for kind in KINDS]
    rows.append(["(/embed)", "", "", "", *found["embed"]])
    heads = [
        "store, search", "import faces/s", "start s", "memory MiB", "identify p50 ms", "p99 ms",
        "enrol images/s",
    ]  # fmt: skip
    text = (
        f"`identify` of a portrait ({PHOTO}) with one client, {faces:,} faces of {DIMENSION} numbers, ten a "
        f"person; medians of {turns} runs of {seconds:g} s in turns, and of as many enrolments of 20 images "
        "with two clients. `/embed` has no search. PostgreSQL, clients and services share the cores with "
        f"other work (load average {os.getloadavg()[1]:.1f}). The HNSW index was built in {build:.0f} s; the "
        f"database has {size:.0f} MiB with it.\n\n{report.table(heads, rows)}"
    )
    report.write("gallery-postgres", text, {"heads": heads, "rows": rows}, out)


@cli.command()
def recall(
    real: Annotated[
        Path | None, typer.Option(help="npz with real embeddings `v` and the names of their people `w`.")
    ] = None,
    faces: Annotated[int, typer.Option(help="Number of faces.")] = 100_000,
    probes: Annotated[int, typer.Option(help="Number of probes of each kind.")] = 500,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = report.RESULTS,
) -> None:
    """Measure the share of probes whose best person the search in the database finds.

    Without real embeddings the people are random. The rows of the other gallery are kept.
    """
    sets, about = {}, ""
    if real is None:
        sets["random people"] = _random_people(faces, probes)
    else:
        sets["real embeddings, filled up"] = _real_people(real, faces, probes)
        about = (
            f"The real embeddings are {len(np.load(real)['v']):,} of `fused`; points between two enrolled "
            "faces fill the gallery up, as faces of other people."
        )
    known = out / "gallery-postgres-recall.json"
    before = json.loads(known.read_text())["rows"] if known.exists() else []
    rows = [row for row in before if row[0] not in sets]
    for name, (vectors, people, asked) in sets.items():
        with database() as server:
            _fill(server, vectors, people)
            _make_index(server)
            rows += _recall(server, name, vectors, people, asked)
    heads = ["gallery", "search", "same best person: enrolled", "strangers", "search p50 ms", "p99 ms"]
    text = (
        f"{faces:,} faces of {DIMENSION} numbers; up to {probes} probes of enrolled people (with another "
        f"image) and {probes} of strangers, one at a time (load average {os.getloadavg()[1]:.1f}). The right "
        f"best person is that of a product in float64. {about}\n\n"
        f"{report.table(heads, rows)}"
    )
    report.write("gallery-postgres-recall", text, {"heads": heads, "rows": rows}, out)


def _import(store: SqliteStore | PostgresStore, contract: str, faces: int) -> float:
    store.create_collection("people", MODEL, contract, DIMENSION)
    begun = time.perf_counter()
    store.import_records("people", contract, records(faces, DIMENSION))
    rate = faces / (time.perf_counter() - begun)
    store.close()
    return rate


def _make_index(server: Server) -> None:
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute(index_sql(DIMENSION).encode())
        connection.execute(INDEXES_WITHOUT_STATISTICS)
        connection.execute("ANALYZE facet.faces")


def _in_turns(services: dict[str, Served], seconds: float, turns: int) -> dict[str, list[object]]:
    """Return the medians of p50, p99 and enrolment of each service, and p50 and p99 of `/embed`."""
    image = PHOTO.read_bytes()
    asks = {
        **{kind: (one, Ask("/collections/people/identify", (image,), 200)) for kind, one in services.items()},
        "embed": (services["sqlite"], Ask("/embed", (image,), 200)),
    }
    times: dict[str, list[list[float]]] = {name: [] for name in asks}
    rates: dict[str, list[float]] = {kind: [] for kind in services}
    for one, ask in asks.values():
        asyncio.run(closed(one.url, itertools.cycle([ask]), 1, most=3))
    for _ in range(turns):
        for name, (one, ask) in asks.items():
            found = asyncio.run(closed(one.url, itertools.cycle([ask]), 1, seconds=seconds))
            assert not found.wrong, found.wrong
            times[name].append(found.milliseconds(50, 99))
        for kind, one in services.items():
            rates[kind].append(asyncio.run(enrolled_per_second(one.url, photos(20))))
    return {
        name: [*np.median(found, axis=0).tolist(), float(np.median(rates[name])) if name in rates else ""]
        for name, found in times.items()
    }


Data = tuple[Float32[ndarray, "n d"], list[int], dict[str, Float32[ndarray, "m d"]]]
"""Vectors, the person of each, and the probes of enrolled people and of strangers."""


def _random_people(faces: int, probes: int) -> Data:
    random = np.random.default_rng(1)
    people = np.repeat(np.arange(faces // 10), 10)
    centres = random.standard_normal((faces // 10, DIMENSION)).astype(np.float32)
    asked = {
        "enrolled": centres[:probes] + _noise(random, probes),
        "strangers": random.standard_normal((probes, DIMENSION)).astype(np.float32),
    }
    vectors = centres[people] + _noise(random, faces)
    return _unit(vectors), people.tolist(), {kind: _unit(found) for kind, found in asked.items()}


def _noise(random: np.random.Generator, count: int) -> Float32[ndarray, "n d"]:
    return (0.5 * random.standard_normal((count, DIMENSION))).astype(np.float32)


def _real_people(path: Path, faces: int, probes: int) -> Data:
    """Return real faces, and points between two of the enrolled ones as faces of people of their own."""
    loaded = np.load(path)
    vectors, names = loaded["v"], loaded["w"]
    random = np.random.default_rng(2)
    known = np.unique(names)
    strangers = set(random.choice(known, len(known) // 4, replace=False).tolist())
    is_stranger = np.array([name in strangers for name in names])
    first = {name: row for row, name in reversed(list(enumerate(names.tolist())))}
    is_probe = np.array([row == first[name] for row, name in enumerate(names.tolist())])
    several = np.array([np.count_nonzero(names == name) > 1 for name in names])
    enrolled = vectors[~is_stranger & is_probe & several][:probes]
    kept = ~is_stranger & ~(is_probe & several)
    gallery, people = vectors[kept], np.searchsorted(known, names[kept])
    missing = faces - len(gallery)
    a, b = (gallery[random.integers(0, len(gallery), missing)] for _ in range(2))
    between = a + random.uniform(0.4, 1, (missing, 1)).astype(np.float32) * b
    everybody = [*people.tolist(), *(len(known) + n // 10 for n in range(missing))]
    chosen = random.permutation(np.flatnonzero(is_stranger))[:probes]
    asked = {"enrolled": _unit(enrolled), "strangers": vectors[chosen]}
    return _unit(np.concatenate([gallery, between])), everybody, asked


def _unit(vectors: Float32[ndarray, "n d"]) -> Float32[ndarray, "n d"]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _fill(server: Server, vectors: Float32[ndarray, "n d"], people: Sequence[int]) -> None:
    """Store the vectors without the rest of a face."""
    store = PostgresStore(server.uri(), LIMITS)
    store.create_collection("people", MODEL, "c", DIMENSION)
    store.close()
    with psycopg.connect(server.uri()) as connection:
        connection.execute(
            "INSERT INTO facet.people (key, collection, id, search_key, details, created) "
            "SELECT key, 1, decode(lpad(to_hex(key), 32, '0'), 'hex'), '', '{}', 0 "
            "FROM unnest(%s::bigint[]) key",
            ([person + 1 for person in sorted(set(people))],),
        )
        copy = "COPY facet.faces (collection, person, id, box, score, source, created, vector) FROM STDIN"
        with connection.cursor().copy(copy) as writer:
            for row, (vector, person) in enumerate(zip(vectors, people, strict=True)):
                text = f"[{','.join(f'{value:.8g}' for value in vector)}]"
                id = row.to_bytes(16, "big")
                writer.write_row((1, person + 1, id, "{0,0,1,1}", 1.0, b"", 0, text))


def _recall(
    server: Server,
    name: str,
    vectors: Float32[ndarray, "n d"],
    people: Sequence[int],
    asked: dict[str, Float32[ndarray, "m d"]],
) -> list[list[object]]:
    """Return a row for each kind of search."""
    keys = np.stack([np.arange(len(people)), np.array(people) + 1], axis=1)
    truth = {}
    for kind, probes in asked.items():
        products = (vectors @ probes.T).astype(np.float64)
        truth[kind] = [int(best_people(keys, column, 1)[0][0]) for column in products.T]
    searches = {f"hnsw, ef_search {ef}": StoreSearch(ef) for ef in (40, 100, 200, 400, 800)}
    searches["exact"] = StoreSearch(exact_up_to=None)
    rows: list[list[object]] = []
    for label, search in searches.items():
        store = PostgresStore(server.uri(), LIMITS, search=search)
        collection = store.collection("people")
        shares, times = [], []
        for kind, probes in asked.items():
            some = probes if label != "exact" else probes[:100]
            same = 0
            for probe, right in zip(some, truth[kind], strict=False):
                begun = time.perf_counter()
                found = store.search(collection, probe[None], 1)[0]
                times.append(time.perf_counter() - begun)
                same += bool(found) and found[0].person == right
            shares.append(same / len(some))
        rows.append([name, label, *shares, *(1e3 * np.percentile(times, (50, 99))).tolist()])
        print(rows[-1], flush=True)
        store.close()
    return rows


if __name__ == "__main__":
    cli()
