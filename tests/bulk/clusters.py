"""A cluster in the process of the test, and the images and the results of its runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image as Pil
from pyarrow import parquet

from app.bulk.description import Description
from app.bulk.inputs import Inputs
from app.bulk.plan import Part
from app.bulk.run import BulkRun
from app.bulk.worker import Job, Outcome, Worker
from app.pipeline.analyzer import Analyzer
from app.service.image_tasks import ImageTask
from app.service.limits import Limits
from app.service.operations import Operations
from app.service.requests import DetectQuery
from app.settings import Settings
from tests.fakes import fake_analyzer

LIMITS = Limits(image_bytes=400_000, image_pixels=3_000_000, faces=50, boxes=4)


class LocalCluster:
    """A cluster of one worker, in this process.

    Args:
        analyzer: returns the models.
        before: called before each part, with the number of parts before it. What it raises ends the run.
    """

    actors = cpus = 1

    def __init__(
        self,
        analyzer: Callable[[], Analyzer] = fake_analyzer,
        before: Callable[[int], None] = lambda done: None,
    ) -> None:
        self._analyzer = analyzer
        self._before = before
        self.parts: list[str] = []

    @contextmanager
    def connected(self) -> Iterator["LocalCluster"]:
        yield self

    def outcomes(self, job: Job, parts: Sequence[Part]) -> Iterator[Outcome]:
        worker = Worker(job, lambda settings, needed: self._analyzer())
        with closing(worker):
            for done, part in enumerate(parts):
                self._before(done)
                self.parts.append(part.name)
                yield worker.process(part.plan, part.number, part.name)


def describe(task: ImageTask = "detect", analyzer: Analyzer | None = None, **options: Any) -> Description:
    operations = Operations(analyzer or fake_analyzer(), LIMITS)
    return Description.of(operations, task, DetectQuery.model_validate(options))


def run(
    given: Sequence[Path | str],
    output: Path | str,
    cluster: LocalCluster | None = None,
    description: Description | None = None,
    part_size: int | None = 2,
) -> bool:
    settings = Settings(max_image_bytes=LIMITS.image_bytes, max_image_pixels=LIMITS.image_pixels)
    bulk = BulkRun(description or describe(), settings, cluster or LocalCluster(), part_size)
    return bulk.process(Inputs(list(map(str, given))), str(output))


def photo(path: Path, seed: int = 0) -> Path:
    """Write a picture, in which the fake nets find two faces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(60, 200, (40, 60, 3)).astype(np.uint8)
    Pil.fromarray(pixels).save(path, format="PNG")
    return path


def rows(output: Path) -> list[dict[str, Any]]:
    """Return the rows of all parts, in the order of the names of the parts."""
    tables = [parquet.read_table(path) for path in sorted(output.glob("part-*.parquet"))]
    return pa.concat_tables(tables).to_pylist() if tables else []


def names(output: Path) -> list[str]:
    return [Path(row["file"]).name for row in rows(output)]
