"""What a section of the record gets, and what it gives."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.runtime.device import Device, candidate_devices

MODELS = Path("models")


@dataclass(frozen=True)
class Plan:
    """What a section measures, and until when.

    Attributes:
        setting: the device, `cpu`, `cuda` or `cuda:N`.
        ends: the time of `time.monotonic` after which the section starts no further measurement.
        small: whether to measure little, to see that the section works.
        gpu: name of the GPU; empty on a CPU.
    """

    setting: str
    ends: float
    small: bool = False
    gpu: str = ""

    @property
    def device(self) -> Device:
        """The device."""
        (device,) = candidate_devices(self.setting)
        return device

    @property
    def seconds_left(self) -> float:
        """Seconds until the end; 0 after it."""
        return max(0.0, self.ends - time.monotonic())


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        heads: headings of the columns.
        rows: the rows; None is a value that was not measured.
        title: what the table shows.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""


@dataclass
class Result:
    """What a section has measured so far.

    Attributes:
        tables: the tables.
        notes: sentences that follow them.
        faults: requirements that are not met, one sentence each.
        complete: whether the time was enough for all that was planned.
    """

    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    complete: bool = True

    def cut(self, before: str) -> "Result":
        """Note that the time was over before something, and that the result is therefore not complete.

        Args:
            before: what was not measured any more.

        Returns:
            The same result.
        """
        self.notes.append(f"The time was over before {before}.")
        self.complete = False
        return self


Measure = Callable[[Plan], Iterator[Result]]
"""Measures a section. Yields its result whenever there is more of it, so that a part of it can be kept."""
