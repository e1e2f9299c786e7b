"""Runs to their end, and runs that are interrupted."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from training.checkpoint import Progress, Row
from training.logbook import Logbook


class Whole(NamedTuple):
    """A run to its end: how it went, and its folder."""

    progress: Progress
    folder: Path


def untimed(progress: Progress) -> list[Row]:
    """The rows of a run's log without what two equal runs differ in."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in progress.rows]


def interrupted_after(epochs: int) -> Callable[[Logbook, list[Row], dict[str, object]], None]:
    """A `Logbook.write` that stops the run there, as a user's Ctrl-C would."""
    write = Logbook.write

    def stop(self: Logbook, rows: list[Row], facts: dict[str, object]) -> None:
        write(self, rows, facts)
        if len(rows) == epochs:
            raise KeyboardInterrupt

    return stop
