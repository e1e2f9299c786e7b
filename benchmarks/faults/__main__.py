"""Run fault scenarios and write their figures.

    .venv/bin/python -m benchmarks.faults                        # all scenarios
    .venv/bin/python -m benchmarks.faults worker sigterm         # some of them
    .venv/bin/python -m benchmarks.faults --vs ../other worker   # beside another checkout, in the same run

Each scenario is a module of this package with a function `run(service)`. The rows of the scenarios that ran
replace their older rows in benchmarks/results/faults.json, and faults.md is written again. The exit status is
1 if this checkout misses a requirement.
"""

import importlib
import json
import pkgutil
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import faults, report
from benchmarks.faults.service import Service

_NO_SCENARIOS = ("__main__", "attack", "load", "service")

Figures = dict[str, str]
"""The values of a scenario by measure."""


def scenarios() -> list[str]:
    """Return the names of all scenarios."""
    return [
        module.name for module in pkgutil.iter_modules(faults.__path__) if module.name not in _NO_SCENARIOS
    ]


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Scenarios; all if none is named.")] = None,
    vs: Annotated[Path | None, typer.Option(help="Folder of another checkout that runs first.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = report.RESULTS,
) -> None:
    """Run fault scenarios and write their figures.

    Raises:
        BadParameter: there is no scenario of a name.
        Exit: with status 1, if this checkout misses a requirement.
    """
    known = scenarios()
    for name in names or known:
        if name not in known:
            raise typer.BadParameter(f"There is no scenario {name!r}. The scenarios are: {', '.join(known)}.")
    missed = []
    for name in names or known:
        sys.stderr.write(f"{name} ...\n")
        other = _run(name, Service(vs)) if vs else {}
        service = Service(Path.cwd())
        here = _run(name, service)
        missed += [f"{name}: {description}" for description in service.missed]
        _record(name, other, here, out)
    sys.stdout.write((out / "faults.md").read_text())
    for line in missed:
        sys.stderr.write(f"A requirement is not met: {line}\n")
    raise typer.Exit(1 if missed else 0)


def _run(name: str, service: Service) -> Figures:
    module = importlib.import_module(f"benchmarks.faults.{name}")
    folder = str(service.checkout.resolve())
    return {measure: value.replace(folder, "CHECKOUT") for measure, value in module.run(service)}


def _record(name: str, other: Figures, here: Figures, out: Path) -> None:
    """Replace the figures of a scenario in faults.json, and write faults.md from all of them."""
    file = out / "faults.json"
    figures: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    note = f"{date.today()}, {report.machine()}"
    figures[name] = {"note": note, "before": other, "now": here}
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(dict(sorted(figures.items())), indent=2) + "\n")
    rows = []
    for scenario, entry in sorted(figures.items()):
        for measure, value in entry["now"].items():
            rows.append((f"`{scenario}`", measure, entry["before"].get(measure, ""), value))
    notes = sorted({entry["note"] for entry in figures.values()})
    text = report.table(("scenario", "measure", "before", "now"), rows)
    (out / "faults.md").write_text(
        f"{text}\n\nMeasured on {'; '.join(notes)}; `python -m benchmarks.faults`. Each scenario is a "
        "module of `benchmarks/faults`, whose first lines say what it does.\n"
    )


if __name__ == "__main__":
    typer.run(main)
