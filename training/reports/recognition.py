"""Tables of all embedders: recorded figures, calibrated thresholds, and the runs with triplet loss."""

import csv
import json
import re
from pathlib import Path

from app.runtime.manifest import read_manifest
from app.vision.spec import ComparedSpec
from training.reports import model_cards
from training.reports.markdown import table
from training.reports.specs import read_spec
from training.reports.verification import CALIBRATED_FARS

LFW = "LFW View 1 pairsDevTest"
COLUMNS = {
    "accuracy": f"{LFW}, accuracy (10 folds)",
    "AUC": f"{LFW}, AUC",
    "EER": f"{LFW}, EER",
    **{f"TAR at FAR {far}": f"{LFW}, TAR at FAR {far}" for far in ("0.01", "0.001", "0.0001")},
    "undetected": f"{LFW}, images without a detected face",
}
"""Column heads and the metrics of the model cards."""

MINING_COLUMNS = (
    "run",
    "negatives",
    "initial weights",
    "epochs",
    "active triplets, first epoch",
    "active triplets, last epoch",
    "EER, first epoch",
    "best EER",
)


def specs(models: Path) -> dict[str, ComparedSpec]:
    """Return the specs of the embedders of a store by name, in the order of the manifest."""
    result: dict[str, ComparedSpec] = {}
    for entry in read_manifest(models).models:
        for file in entry.files:
            spec = read_spec(models / file.file)
            if isinstance(spec, ComparedSpec):
                result[entry.name] = spec
    return result


def figures(models: Path) -> str:
    """Return a Markdown table of the figures recorded on LFW's View 1."""
    recorded = model_cards.recorded(models)
    rows = [
        [f"`{name}`", "research only" if spec.research_only else "free"]
        + [recorded.get(name, {}).get(metric, {}).get("value", "") for metric in COLUMNS.values()]
        for name, spec in specs(models).items()
    ]
    return table(["model", "licence", *COLUMNS], rows, left=2)


def thresholds(models: Path) -> str:
    """Return a Markdown table of the threshold and the FRR of each embedder at each calibrated FAR."""
    embedders = specs(models)
    fars = sorted({c.far for spec in embedders.values() for c in spec.thresholds}, reverse=True)
    rows = []
    for name, spec in embedders.items():
        cells = {c.far: f"{c.threshold:.4f} ({100 * (1 - c.tar):.1f}%)" for c in spec.thresholds}
        curve = spec.probability
        rows.append(
            [f"`{name}`"]
            + [cells.get(far, "") for far in fars]
            + ["s" if curve is None else f"sigmoid({curve.slope:.2f} s {curve.offset:+.2f})"]
        )
    return table(["model", *(f"FAR {far:g}" for far in fars), "probability at similarity s"], rows)


def populations(models: Path) -> str:
    """Return Markdown tables of the rates of each population at the calibrated thresholds."""
    recorded = model_cards.recorded(models)
    parts = []
    for rate in ("FAR", "TAR"):
        rows = []
        for name in specs(models):
            cells: dict[str, dict[str, str]] = {}
            for metric, row in recorded.get(name, {}).items():
                if found := re.fullmatch(rf"calibration, (.+), {rate} at the threshold for FAR (.+)", metric):
                    cells.setdefault(found[1], {})[found[2]] = row["value"]
            rows += [
                [f"`{name}`", population, *(values.get(f"{far:g}", "") for far in CALIBRATED_FARS)]
                for population, values in cells.items()
            ]
        head = ["model", "people", *(f"{rate} at the threshold for {far:g}" for far in CALIBRATED_FARS)]
        parts += [table(head, rows, left=2)] if rows else []
    return "\n\n".join(parts)


def mining(records: Path) -> str:
    """Return a Markdown table of the runs with triplet loss: how negatives were selected, and the EER.

    Runs from published weights are left out: their net and its input are others.

    Args:
        records: folder of runs with `run.json` and `log.csv`.
    """
    rows = []
    for path in sorted(records.glob("*/run.json")):
        config = json.loads(path.read_text())["config"]
        if config.get("objective") != "triplet" or config["start_from"] == "imported":
            continue
        with path.with_name("log.csv").open() as file:
            log = list(csv.DictReader(file))
        eers = [float(row["validation_error"]) for row in log if row["validation_error"]]
        rows.append(
            [
                f"`{path.parent.name}`",
                config["mining"].replace("_", "-"),
                config["start_from"] or "random",
                str(len(log)),
                f"{float(log[0]['active']):.0f}",
                f"{float(log[-1]['active']):.0f}",
                f"{eers[0]:.3f}",
                f"{min(eers):.3f}",
            ]
        )
    return table(MINING_COLUMNS, rows, left=3)
