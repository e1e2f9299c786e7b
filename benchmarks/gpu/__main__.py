"""Measure the service on one NVIDIA GPU, and keep a record.

    make gpu-record                              # all sections, in .venv-gpu
    make gpu-record GPU_PYTHON=python3           # with another Python that has requirements/gpu.txt
    make gpu-record ARGS='--only serving --minutes 6 --again'

Each section is written to gpu-NAME.md and gpu-NAME.json as soon as it is measured. After a run that was cut
off, the same command measures the sections that are not complete. The exit status is 1 if the device cannot
be used, if a section fails, or if a requirement is not met.
"""

import gc
import re
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, NamedTuple, NoReturn

import typer

from app.errors import FacetError
from benchmarks import report
from benchmarks.gpu import agreement, host, memory, nodes, precision, serving, stages, start
from benchmarks.gpu.plan import Measure, Plan, Result
from benchmarks.gpu.record import Record, State, UnusableRecord


class Section(NamedTuple):
    """A section of the record.

    Attributes:
        title: title in the report.
        measure: measures it.
        minutes: after this time it starts no further measurement.
    """

    title: str
    measure: Measure
    minutes: float


SECTIONS = {
    "agreement": Section("Answers against the CPU's", agreement.measure, 1),
    "nodes": Section("Where the nodes ran", nodes.measure, 1),
    "serving": Section("Throughput and latency over HTTP", serving.measure, 4.5),
    "start": Section("Start and first requests", start.measure, 1),
    "memory": Section("Memory over many images", memory.measure, 2.5),
    "precision": Section("TF32 and float16", precision.measure, 1.5),
    "stages": Section("Stages of a request", stages.measure, 0.5),
}
"""The sections, in the order in which they are measured. Together they take at most 12 minutes."""


def main(
    device: Annotated[str, typer.Option(help="Device: cuda, cuda:N, or cpu to try the sections.")] = "cuda",
    only: Annotated[str, typer.Option(help="Sections to measure, separated by commas; all if empty.")] = "",
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Time for each section, in place of its own.")
    ] = None,
    name: Annotated[str, typer.Option(help="NAME of the files; by default made of the GPU's name.")] = "",
    again: Annotated[bool, typer.Option(help="Measure sections that are complete again.")] = False,
    small: Annotated[bool, typer.Option(help="Measure little, to see that each section works.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = report.RESULTS,
) -> None:
    """Measure the service on one GPU, and keep a record.

    Raises:
        Exit: with status 1, if the device cannot be used, or something fails or is not met; with status 2,
            if an option is invalid.
    """
    chosen = [part.strip() for part in only.split(",") if part.strip()] or list(SECTIONS)
    if unknown := [part for part in chosen if part not in SECTIONS]:
        _refuse(f"There is no section {unknown[0]!r}. The sections are {', '.join(SECTIONS)}.", 2)
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        _refuse(f"The device {device!r} is unknown. Use cuda, cuda:N or cpu.", 2)
    if not re.fullmatch(r"[\w.-]*", name):
        _refuse(f"The name {name!r} may have letters, digits, '.', '_' and '-' only.", 2)
    plan = Plan(device, 0.0, small)
    try:
        host.require(device)
        facts = host.facts(plan.device)
        gpu = facts.get("GPU", "")
        command = " ".join(["python -m benchmarks.gpu", *sys.argv[1:]])
        titles = {key: section.title for key, section in SECTIONS.items()}
        record = Record(out, name or _name_of(gpu), facts, command, titles, small)
    except (FacetError, UnusableRecord, OSError) as error:
        _refuse(_line(error), 1)
    for key in chosen:
        if record.is_measured(key) and not again:
            sys.stderr.write(f"{key}: measured already (--again measures it again)\n")
            continue
        limit = SECTIONS[key].minutes if minutes is None else minutes
        try:
            _measure(key, Plan(device, time.monotonic() + 60 * limit, small, gpu), record)
        except OSError as error:  # those of the section itself are in the record
            _refuse(f"{record.report} cannot be written: {_line(error)}", 1)
    sys.stdout.write(record.text())
    sys.stderr.write(f"The record is in {record.report}.\n")
    faults = [fault for key in chosen for fault in record.faults(key)]
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    raise typer.Exit(1 if faults else 0)


def _measure(key: str, plan: Plan, record: Record) -> None:
    """Measure a section, and keep each part of it. If it fails, the record says why."""
    sys.stderr.write(f"{key} ...\n")
    begun = time.monotonic()
    result, state = Result(), State.MEASURED
    try:
        for result in SECTIONS[key].measure(plan):
            record.keep(key, result, State.PARTIAL, time.monotonic() - begun)
    except Exception as error:  # the other sections shall be measured whatever one of them raises
        state = State.FAILED
        result.faults.append(f"the section failed: {type(error).__name__}: {_line(error)}")
    if state == State.MEASURED and not result.complete:
        state = State.PARTIAL
    record.keep(key, result, state, time.monotonic() - begun)
    gc.collect()  # the GPU's memory of this section shall not be freed while the next one measures


def _refuse(reason: str, status: int) -> NoReturn:
    """Write why there is no record, in one line, and end the program.

    Raises:
        Exit: always.
    """
    sys.stderr.write(f"No record: {reason}\n")
    raise typer.Exit(status)


def _name_of(gpu: str) -> str:
    """Return a name for files, for example `h100-80gb-hbm3` for `NVIDIA H100 80GB HBM3`."""
    return re.sub(r"[^a-z0-9]+", "-", gpu.lower().removeprefix("nvidia ")).strip("-") or "cpu"


def _line(error: BaseException) -> str:
    """Return the message of an error in one line."""
    return " ".join((error.detail if isinstance(error, FacetError) else str(error)).split())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service of a section is ended, too
    typer.run(main)
