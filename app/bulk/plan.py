"""Which images belong to which part of an output, and which parts are complete.

A plan is a Parquet file with a row group for each part. The name of a part follows from the plan, so a part
that is computed again replaces itself. A plan never changes; later images get another one.
"""

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import pyarrow as pa
from pyarrow import parquet

from app.bulk.description import FOLDER
from app.bulk.errors import BulkError
from app.bulk.inputs import Image
from app.bulk.stores import Store

MAX_PART = 500
"""Default number of images in a part: seconds of work on one core, and a file of about a megabyte."""

_PARTS_PER_ACTOR = 4
_THREADS = 16
_PLAN = re.compile(r"plan-(\d{5})\.parquet")
_SCHEMA = pa.schema([("file", pa.binary()), ("relative", pa.binary())])


@dataclass(frozen=True)
class Part:
    """Some images that are processed together, and whose results are one file.

    Attributes:
        plan: number of the plan.
        number: number of the part in the plan.
        images: number of images.
    """

    plan: int
    number: int
    images: int

    @property
    def name(self) -> str:
        """Name of the file of the results."""
        return f"part-{self.plan:05d}-{self.number:06d}.parquet"


@dataclass(frozen=True)
class Finished:
    """What a complete part has.

    Attributes:
        images: number of images.
        failed: how many of them have a problem instead of a result.
    """

    images: int
    failed: int


def part_size(images: int, actors: int) -> int:
    """Return the default number of images in a part: all actors get some parts."""
    return max(1, min(MAX_PART, -(-images // (_PARTS_PER_ACTOR * actors))))


def read_plans(store: Store) -> tuple[list[Part], set[bytes]]:
    """Return the parts of all plans of an output, and the images in them.

    Raises:
        BulkError: a plan cannot be read.
    """
    parts: list[Part] = []
    known: set[bytes] = set()
    for number in _numbers(store):
        try:
            with store.open(_plan(number)) as source, parquet.ParquetFile(source) as file:
                for index in range(file.num_row_groups):
                    column = file.read_row_group(index, columns=["file"]).column("file")
                    known.update(column.to_pylist())
                    parts.append(Part(number, index, len(column)))
        except (OSError, pa.ArrowException) as error:
            raise BulkError(f"The plan {_plan(number)} of the run cannot be read: {error}.") from error
    return parts, known


def add_plan(store: Store, images: Sequence[Image], size: int) -> list[Part]:
    """Write a plan for images that no plan has.

    Args:
        store: the output.
        images: the images.
        size: number of images in a part.

    Returns:
        The parts of the plan.

    Raises:
        OSError: it cannot be written.
    """
    number = max(_numbers(store), default=-1) + 1
    sink = pa.BufferOutputStream()
    parts: list[Part] = []
    with parquet.ParquetWriter(sink, _SCHEMA, compression="zstd") as writer:
        remaining = iter(images)
        while chunk := list(islice(remaining, size)):
            columns = [[os.fsencode(one.file) for one in chunk], [os.fsencode(one.relative) for one in chunk]]
            writer.write_table(pa.table(columns, schema=_SCHEMA), row_group_size=size)
            parts.append(Part(number, len(parts), len(chunk)))
    store.put(_plan(number), sink.getvalue().to_pybytes())
    return parts


class Plans:
    """Reads the images of parts.

    Args:
        store: the output.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[int, parquet.ParquetFile] = {}

    def close(self) -> None:
        """Close the open plans."""
        while self._open:
            self._open.popitem()[1].close(force=True)

    def images(self, plan: int, number: int) -> list[tuple[bytes, bytes]]:
        """Return the paths of the images of a part: as they are read, and relative to the given folder.

        Raises:
            OSError: the plan cannot be read.
        """
        if plan not in self._open:
            self._open[plan] = parquet.ParquetFile(self._store.open(_plan(plan)))
        table = self._open[plan].read_row_group(number)
        return list(zip(table["file"].to_pylist(), table["relative"].to_pylist(), strict=True))


def finished_parts(store: Store, parts: Iterable[Part]) -> dict[Part, Finished]:
    """Return the parts whose file is complete. A damaged file does not count.

    Raises:
        OSError: the output cannot be read.
    """
    present = store.files("")
    candidates = [part for part in parts if part.name in present]
    with ThreadPoolExecutor(_THREADS) as threads:
        found = threads.map(partial(_finished, store), candidates)
        return {part: one for part, one in zip(candidates, found, strict=True) if one is not None}


def _finished(store: Store, part: Part) -> Finished | None:
    try:
        with store.open(part.name) as source:
            metadata = parquet.read_metadata(source)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    if metadata.num_rows != part.images:
        return None
    group = metadata.row_group(0)
    (column,) = (i for i in range(group.num_columns) if group.column(i).path_in_schema == "problem.type")
    return Finished(part.images, part.images - group.column(column).statistics.null_count)


def _numbers(store: Store) -> list[int]:
    found = map(_PLAN.fullmatch, store.files(FOLDER))
    return sorted(int(match[1]) for match in found if match is not None)


def _plan(number: int) -> str:
    return f"{FOLDER}/plan-{number:05d}.parquet"
