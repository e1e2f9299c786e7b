"""Model cards: `models/README.md`, generated from the manifest, the specs and the recorded figures."""

import datetime
import json
from pathlib import Path

from app.runtime.manifest import ModelEntry, read_manifest
from app.vision.spec import ComparedSpec, FloatCosine, ModelSpec
from training.reports.markdown import table
from training.reports.specs import describe, probability, read_cosine, read_spec

METRICS = "metrics.json"
"""Name of the file of recorded figures in a model folder."""

PROSE = Path(__file__).with_name("cards")
"""Folder of the written part of each card."""

_HEAD = """# Model cards

This file is generated from the specs in the ONNX files, `manifest.json` and `metrics.json`: by `make models`,
and by each command that exports a model or records figures. Do not edit it. Each figure was printed by the
command beside it.

NME is the mean distance between predicted and labelled points, divided by the interocular distance. For 68
and 15 points this is the distance of the outer eye corners, for five points that of the eye centres.

"""

Figures = dict[str, dict[str, str]]
"""The recorded figures of a model by metric: each has a value, a command and a date."""


def record(models: Path, model: str, values: dict[str, str], command: str) -> None:
    """Store measured figures, and write the model cards again.

    Earlier figures of the model are replaced if they have the same command or the same metric.

    Args:
        models: the model folder.
        model: name of the model.
        values: values by metric.
        command: the command that measured them.
    """
    known = recorded(models)
    kept = {k: row for k, row in known.get(model, {}).items() if row["command"] != command}
    date = datetime.date.today().isoformat()
    new = {k: {"value": value, "command": command, "date": date} for k, value in values.items()}
    known[model] = kept | new
    _write(models, known)
    (models / "README.md").write_text(render(models))


def forget(models: Path, model: str) -> list[str]:
    """Remove the recorded figures of a model. The cards stay as they are.

    Returns:
        The commands that measured them.
    """
    known = recorded(models)
    rows = known.pop(model, {})
    if rows:
        _write(models, known)
    return sorted({row["command"] for row in rows.values()})


def _write(models: Path, figures: dict[str, Figures]) -> None:
    part = (models / METRICS).with_name(METRICS + ".part")
    part.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    part.replace(models / METRICS)


def recorded(models: Path) -> dict[str, Figures]:
    """Return all recorded figures by model; an empty dict if there are none."""
    path = models / METRICS
    return json.loads(path.read_text()) if path.exists() else {}


def render(models: Path) -> str:
    """Return the text of the cards of all models in the manifest."""
    metrics = recorded(models)
    entries = read_manifest(models).models
    specs = {entry.name: [read_spec(models / f.file) for f in entry.files] for entry in entries}
    cosines = {f.file: read_cosine(models / f.file) for entry in entries for f in entry.int8}
    overview = [
        "| model | task | default | licence | files | size |",
        "|---|---|---|---|---|---:|",
        *(_overview(entry, specs[entry.name][0]) for entry in entries),
    ]
    cards = [_card(entry, specs[entry.name], cosines, metrics.get(entry.name, {})) for entry in entries]
    return _HEAD + "\n".join(overview) + "\n\n" + "\n".join(cards)


def _overview(entry: ModelEntry, spec: ModelSpec) -> str:
    terms = "research only" if spec.research_only else spec.licence
    files = (*entry.files, *entry.int8)
    size = sum(f.bytes for f in files) / 1e6
    default = "yes" if entry.default else ""
    return (
        f"| [{entry.name}](#{entry.name}) | {entry.task} | {default} | {terms} "
        f"| {len(files)} | {size:.1f} MB |"
    )


def _card(
    entry: ModelEntry, specs: list[ModelSpec], cosines: dict[str, FloatCosine], metrics: Figures
) -> str:
    limits = ", research only" if any(spec.research_only for spec in specs) else ""
    prose = PROSE / f"{entry.name}.md"
    files = [
        [f"`{f.file}`", str(f.bytes), f"`{f.sha256}`", f"`{spec.source_sha256}`"]
        for f, spec in zip((*entry.files, *entry.int8), (*specs, *specs), strict=False)
    ]
    parts = [f"## {entry.name}"]
    if prose.exists():
        parts.append(prose.read_text().strip())
    parts += [
        "\n".join(
            [
                f"- Task: {entry.task}{' (default)' if entry.default else ''}",
                f"- Licence: {' AND '.join(dict.fromkeys(spec.licence for spec in specs))}{limits}",
                f"- Source: {'; '.join(dict.fromkeys(spec.source for spec in specs))}",
                *(f"- {describe(spec)}" for spec in specs),
                *(f"- `{f.file}`: {_compared(cosines[f.file])}" for f in entry.int8),
            ]
        ),
        table(["file", "bytes", "sha256", "source sha256"], files, left=4),
    ]
    if isinstance(specs[0], ComparedSpec):
        parts += _calibration(specs[0])
    if metrics:
        rows = [
            [metric, row["value"], f"`{row['command']}`", row["date"]]
            for metric, row in sorted(metrics.items())
        ]
        parts.append(table(["metric", "value", "command", "date"], rows, left=4))
    return "\n\n".join(parts) + "\n"


def _compared(cosine: FloatCosine) -> str:
    return (
        f"int8; cosine to the vectors of the float file: mean {cosine.mean}, 1st percentile "
        f"{cosine.percentile_1}, minimum {cosine.minimum} ({cosine.measured_on})"
    )


def _calibration(spec: ComparedSpec) -> list[str]:
    parts = []
    if spec.thresholds:
        rows = [[f"{c.far:g}", f"{1 - c.tar:.3f}", f"{c.threshold:.4f}"] for c in spec.thresholds]
        parts += [
            f"Thresholds, calibrated on {spec.calibrated_on}:",
            table(["FAR", "FRR", "threshold"], rows, left=0),
        ]
    if spec.probability is not None:
        parts.append(
            "Probability that both faces are the same person at similarity s, assuming a 50% prior: "
            f"{probability(spec.probability)}."
        )
    return parts
