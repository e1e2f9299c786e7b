"""Processes the parts of a run: loads the models once, and runs images on several threads.

An actor of the cluster has one worker. What it expects to fail is in its answer, not an exception, because
the message of an exception would get lost in the report of the cluster.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from app.bulk.description import Description, read_description
from app.bulk.errors import BulkError
from app.bulk.inputs import Reader
from app.bulk.plan import Plans
from app.bulk.schema import ImageRow, parquet_of
from app.bulk.stores import open_store
from app.errors import FacetError
from app.pipeline.analyzer import Analyzer
from app.runtime.process_limits import require_threads
from app.service.file_reading import reason
from app.service.image_tasks import OPERATIONS, NeededModels, needed_models
from app.service.local_files import problem_of
from app.service.operations import Operations
from app.service.upload import Upload
from app.settings import Settings
from app.wiring import limits_of, load_analyzer, model_threads


@dataclass(frozen=True)
class Job:
    """What a worker does. It is sent to the actors.

    Attributes:
        output: the output, an absolute path or a URI.
        run: id of the run.
        description: what the run computes.
        settings: the settings of the command that differ from the defaults, by name.
        threads: number of images that are processed at the same time.
    """

    output: str
    run: str
    description: Description
    settings: dict[str, Any]
    threads: int


@dataclass(frozen=True)
class Outcome:
    """What became of a part.

    Attributes:
        images: number of images that were processed.
        failures: for each image that failed, the kind of its problem and its file.
        fault: why the part was not written, and no other one can be; None if it was.
    """

    images: int = 0
    failures: list[list[str]] = field(default_factory=list)
    fault: str | None = None


class Worker:
    """Processes parts.

    Args:
        job: what the worker does.
        load: loads the models; see `wiring.load_analyzer`.
    """

    def __init__(self, job: Job, load: Callable[[Settings, NeededModels], Analyzer] | None = None) -> None:
        self._job = job
        self._fault: str | None = None
        try:
            self._store = open_store(job.output)
            self._check_output()
            self._operations = self._open(Settings(**job.settings), load or _load)
        except (BulkError, FacetError) as error:
            self._fault = f"{os.uname().nodename}: {getattr(error, 'detail', error)}"
            return
        self._query = job.description.query
        self._operation = OPERATIONS[job.description.task]
        self._plans = Plans(self._store)
        self._reader = Reader(self._operations.limits.image_bytes)
        self._threads = ThreadPoolExecutor(job.threads)

    def process(self, plan: int, number: int, name: str) -> Outcome:
        """Process a part and write its file.

        Args:
            plan: number of the plan.
            number: number of the part.
            name: name of its file.

        Returns:
            What became of the part.
        """
        if self._fault is not None:
            return Outcome(fault=self._fault)
        try:
            images = self._plans.images(plan, number)
            rows = list(self._threads.map(self._image, images))
            self._store.put(name, parquet_of(rows, self._job.description))
        except OSError as error:
            detail = f"{self._job.output} cannot be read or written: {reason(error)}."
            return Outcome(fault=f"{os.uname().nodename}: {detail}")
        failures = [
            [row.problem.kind, row.file.decode(errors="replace")] for row in rows if row.problem is not None
        ]
        return Outcome(len(rows), failures)

    def close(self) -> None:
        """End the threads, and close the files."""
        if self._fault is None:
            self._threads.shutdown()
            self._plans.close()

    def _check_output(self) -> None:
        """Check that the output of the command is what this machine finds under its name.

        Raises:
            BulkError: it is not.
        """
        found = read_description(self._store, self._job.output)
        if found is None or found[1] != self._job.run:
            raise BulkError(
                f"This machine does not see the OUTPUT {self._job.output} of the command. Use a folder that "
                "all machines of the cluster share, or an object store."
            )

    def _open(self, settings: Settings, load: Callable[[Settings, NeededModels], Analyzer]) -> Operations:
        """Return the operations with the models of the run.

        Raises:
            BulkError: this machine has other models than the one that started the run.
        """
        logging.basicConfig(level=logging.WARNING)
        wanted = self._job.description
        require_threads(model_threads(settings) + self._job.threads)
        analyzer = load(settings, needed_models(wanted.task, wanted.query))
        operations = Operations(analyzer, limits_of(settings))
        here = Description.of(operations, wanted.task, wanted.query)
        if differences := wanted.differences(here):
            raise BulkError(
                f"This machine has other models than the one that started the run: {'; '.join(differences)}. "
                "Install the same version of Facet and the same models on all machines."
            )
        return operations

    def _image(self, image: tuple[bytes, bytes]) -> ImageRow:
        """Return the row of an image. An image that fails is a row with its problem."""
        file, relative = image
        row = ImageRow(file, relative)
        try:
            data = self._reader.read(os.fsdecode(file))
            row = replace(row, sha256=hashlib.sha256(data).digest())
            result = self._operation(self._operations, Upload(data), self._query)
        except Exception as error:  # decoders and runtimes raise many kinds; the row reports each
            return replace(row, problem=problem_of(error, self._operations.limits))
        return replace(row, size=result.response.image, faces=result.faces)


def _load(settings: Settings, needed: NeededModels) -> Analyzer:
    return load_analyzer(settings, only=needed.only, also=needed.also)
