"""Runs to their end, and runs that are interrupted."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.engine import checkpoints
from training.engine.checkpoints import LogRow, Progress
from training.engine.run_log import RunLog


class FinishedRun(NamedTuple):
    """The progress of a run that was not interrupted, and its folder."""

    progress: Progress
    folder: Path


def untimed(progress: Progress) -> list[LogRow]:
    """Return the rows of a run's log without the seconds, in which two equal runs differ."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in progress.rows]


def interrupted_after(epochs: int) -> Callable[[RunLog, list[LogRow], dict[str, object]], None]:
    """Return a `RunLog.write` that stops the run after some epochs, as Ctrl-C would."""
    write = RunLog.write

    def stop(self: RunLog, rows: list[LogRow], facts: dict[str, object]) -> None:
        write(self, rows, facts)
        if len(rows) == epochs:
            raise KeyboardInterrupt

    return stop


def assert_same_run(whole: FinishedRun, resumed: FinishedRun) -> None:
    """Assert that two runs have the same log, the same best epoch and the same checkpoint."""
    assert untimed(whole.progress) == untimed(resumed.progress)
    assert (whole.progress.best, whole.progress.best_epoch) == (
        resumed.progress.best,
        resumed.progress.best_epoch,
    )
    with (
        np.load(whole.folder / checkpoints.FILE) as a,
        np.load(resumed.folder / checkpoints.FILE) as b,
    ):
        assert set(a.files) == set(b.files)
        for name in set(a.files) - {"progress"}:
            np.testing.assert_array_equal(a[name], b[name])
