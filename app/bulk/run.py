"""The run of a command: what is to be done, the progress, and the summary."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import pyarrow as pa

from app.bulk.description import FOLDER, Description, read_description, write_description
from app.bulk.errors import BadInput, BulkError
from app.bulk.inputs import Image, Inputs
from app.bulk.plan import Finished, Part, add_plan, finished_parts, part_size, read_plans
from app.bulk.stores import Store, open_store
from app.bulk.worker import Job, Outcome
from app.service.console import Progress, report
from app.service.file_reading import reason
from app.service.run_summary import RunSummary
from app.settings import Settings

_SETTINGS = {
    "detector",
    "embedder",
    "landmarks",
    "max_faces",
    "max_image_bytes",
    "max_image_pixels",
    "models",
    "models_dir",
    "precision",
    "weights",
}
"""The settings that the workers get from the command."""

_THREADS_PER_CPU = 2
"""Images that a worker processes at the same time for each of its CPUs, as reading a file takes time."""

_AGAIN = "Run the same command again to continue."


class Pool(Protocol):
    """Workers of a cluster."""

    @property
    def actors(self) -> int:
        """Number of workers."""

    @property
    def cpus(self) -> int:
        """CPUs of each."""

    def outcomes(self, job: Job, parts: Sequence[Part]) -> Iterator[Outcome]:
        """Process parts, and yield what became of each as soon as it is written.

        Raises:
            BulkError: the cluster cannot go on.
        """


class Cluster(Protocol):
    """Machines that process parts."""

    def connected(self) -> AbstractContextManager[Pool]:
        """Return a context in which the cluster is connected.

        Raises:
            BulkError: it cannot be used.
        """


class BulkRun:
    """A run on many images. An image that fails has a row with its problem, and does not stop the others.

    Args:
        description: what the run computes.
        settings: the settings of the command.
        cluster: the machines.
        part_size: number of images in a part; None for the default.
    """

    def __init__(
        self, description: Description, settings: Settings, cluster: Cluster, part_size: int | None = None
    ) -> None:
        self._description = description
        self._settings = settings
        self._cluster = cluster
        self._part_size = part_size

    def process(self, inputs: Inputs, output: str) -> bool:
        """Process the images that the output does not have yet, and report a summary to standard error.

        Args:
            inputs: the images.
            output: folder of the results: an absolute path or a URI.

        Returns:
            True if the output has at least one image, and no image and no folder failed.

        Raises:
            BulkError: the run cannot start or go on.
            KeyboardInterrupt: the user stopped the run.
        """
        try:
            store = open_store(output)
            _refuse_other_files(store, output)  # before the lock makes a file in the folder
            with store.locked():
                run = self._start(store, output)
                summary = self._process(store, inputs, output, run)
        except (OSError, pa.ArrowException) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            raise BulkError(f"{output} cannot be read or written: {why}. {_AGAIN}") from error
        summary.report()
        return summary.succeeded

    def _start(self, store: Store, output: str) -> str:
        """Return the id of the run in the output, which is a new one if there is none.

        Raises:
            BadInput: the output has the results of another run.
        """
        found = read_description(store, output)
        if found is None:
            return write_description(store, self._description)
        there, run = found
        if differences := self._description.differences(there):
            raise BadInput(
                f"{output} has the results of a run with other options or models: "
                f"{'; '.join(differences)} there. Name another OUTPUT, or use the options of that run."
            )
        return run

    def _process(self, store: Store, inputs: Inputs, output: str, run: str) -> "_Summary":
        parts, known = read_plans(store)
        finished = finished_parts(store, parts)
        new = [image for image in inputs.images if os.fsencode(image.file) not in known]
        summary = _Summary(inputs, finished)
        if not parts and not new:
            report("There are no images to read.")
        if new or len(finished) < len(parts):
            with self._cluster.connected() as pool:
                parts += self._plan(store, new, pool)
                left = [part for part in parts if part not in finished]
                _follow(pool.outcomes(self._job(output, run, pool), left), left, summary)
        return summary

    def _plan(self, store: Store, new: Sequence[Image], pool: Pool) -> list[Part]:
        if not new:
            return []
        return add_plan(store, new, self._part_size or part_size(len(new), pool.actors))

    def _job(self, output: str, run: str, pool: Pool) -> Job:
        settings = self._settings.model_dump(exclude_unset=True, include=_SETTINGS)
        settings |= {"device": "cpu", "threads": pool.cpus}
        return Job(output, run, self._description, settings, _THREADS_PER_CPU * pool.cpus)


def _refuse_other_files(store: Store, output: str) -> None:
    """Refuse an output without a run that has files.

    Raises:
        BadInput: it has files of something else.
    """
    names = sorted(store.files("").keys() - {FOLDER})  # first, as another command may start the run meanwhile
    if names and read_description(store, output) is None:
        raise BadInput(
            f"The folder {output} has files of something else, such as {names[0]}. Name a new folder."
        )


def _follow(outcomes: Iterator[Outcome], parts: Sequence[Part], summary: "_Summary") -> None:
    """Count the outcomes of parts, and show the progress.

    Raises:
        BulkError: a part cannot be written.
        KeyboardInterrupt: the user stopped the run.
    """
    total = summary.done + sum(part.images for part in parts)
    try:
        with Progress(total, "image", summary.done) as progress:
            for outcome in outcomes:
                if outcome.fault is not None:
                    raise BulkError(f"{outcome.fault} {_AGAIN}")
                summary.add(outcome.images, outcome.failures)
                progress.advance(outcome.images, f"{summary.images.failed.total} failed")
    except KeyboardInterrupt:
        report(f"Interrupted after {summary.done} of {total} images. {_AGAIN}")
        raise


class _Summary:
    """Counts what became of the images.

    Args:
        inputs: the images.
        finished: the parts that earlier runs have finished.
    """

    def __init__(self, inputs: Inputs, finished: dict[Part, Finished]) -> None:
        self.images = RunSummary(inputs.left_out)
        for folder in inputs.failed:
            self.images.failed.add("folders that cannot be searched", folder)
        self.before = Finished(
            sum(one.images for one in finished.values()), sum(one.failed for one in finished.values())
        )
        self.done = self.before.images
        self._started = time.perf_counter()

    @property
    def succeeded(self) -> bool:
        """Whether there is an image, and none failed in this run or an earlier one."""
        return self.done > 0 and self.images.failed.total == 0 and self.before.failed == 0

    def add(self, images: int, failures: Sequence[Sequence[str]]) -> None:
        """Count the images of a part."""
        self.done += images
        self.images.read += images - len(failures)
        for kind, file in failures:
            self.images.failed.add(kind, file)

    def report(self) -> None:
        """Report the summary to standard error."""
        if self.before.images:
            report(f"{self.before.images} images were processed before, {self.before.failed} of them failed.")
        for text in self.images.lines():
            report(text)
        if done := self.done - self.before.images:
            seconds = time.perf_counter() - self._started
            report(f"{done / seconds:.1f} images per second in {seconds:.0f} s.")
