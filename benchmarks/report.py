"""Reports: tables in Markdown, figures in JSON, and a note on the machine, the date and the command."""

import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

RESULTS = Path("benchmarks/results")


def machine() -> str:
    """Return the name of the processor and the number of cores that this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(os.sched_getaffinity(0))} cores"


def note() -> str:
    """Return a note with the date, the machine and the command."""
    command = " ".join([f"python -m benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    return f"{date.today()}, {machine()}; `{command}`."


def cores_in_use(seconds: float = 2.0) -> float:
    """Return how many cores are in use while this process sleeps. Measure it before a measurement.

    Args:
        seconds: duration in seconds.
    """
    before = _idle_s()
    time.sleep(seconds)
    idle, cores = _idle_s() - before, os.cpu_count() or 1
    return max(0.0, cores - idle / seconds)


def _idle_s() -> float:
    """Return the time in seconds for which all cores together were idle, or waited for a disk."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def note_with_load(in_use: float) -> str:
    """Return the note, with a warning if other processes kept the cores busy.

    Args:
        in_use: number of cores that others used before the measurement, see `cores_in_use`.
    """
    if in_use < 0.1 * (os.cpu_count() or 1):
        return note()
    return (
        f"{note()} Other processes used {in_use:.1f} cores before the start and have slowed these figures: "
        "measure them again on a quiet machine."
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table. Columns of numbers are right-aligned; numbers are rounded.

    Args:
        heads: headings of the columns.
        rows: the rows.
    """
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(heads))]
    lines = [_line(heads), _line(["---:" if r else "---" for r in right])]
    return "\n".join([*lines, *(_line([_text(cell) for cell in row]) for row in rows)])


def write(name: str, text: str, figures: Mapping[str, Any], out: Path) -> None:
    """Write a report as `name`.md and `name`.json, and print it.

    Args:
        name: name of the files without suffix.
        text: the report in Markdown.
        figures: the figures for the JSON file.
        out: folder for the files.
    """
    where = note()
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(f"{text}\n\n{where}\n")
    (out / f"{name}.json").write_text(json.dumps({"note": where, **figures}, indent=2) + "\n")
    sys.stdout.write(f"{text}\n\n{where}\n")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(cell: object) -> str:
    return (
        f"{cell:.3g}"
        if isinstance(cell, float) and abs(cell) < 10
        else (f"{cell:.0f}" if isinstance(cell, float) else str(cell))
    )
