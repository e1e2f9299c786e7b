"""The tables of docs/recognition.md: figures of the cards, thresholds of the files, and records of runs."""

import csv
import json
from pathlib import Path

from app.runtime.device import Device
from app.runtime.model_store import read_manifest
from app.runtime.session import OrtSession
from app.vision.spec import ComparedSpec
from training import cards
from training.page import table

LFW = "LFW View 1 pairsDevTest"
COLUMNS = {
    "accuracy": f"{LFW}, accuracy (10 folds)",
    "AUC": f"{LFW}, AUC",
    "EER": f"{LFW}, EER",
    **{f"TAR at {far}": f"{LFW}, TAR at FAR {far}" for far in ("0.01", "0.001", "0.0001")},
    "no face": f"{LFW}, pictures without a face",
}


def specs(models: Path) -> dict[str, ComparedSpec]:
    """What each embedder of the store says of comparing its vectors, in the manifest's order."""
    found: dict[str, ComparedSpec] = {}
    for entry in read_manifest(models).models:
        for file in entry.files:
            spec = OrtSession(models / file.file, Device("cpu")).spec
            if isinstance(spec, ComparedSpec):
                found[entry.name] = spec
    return found


def figures(models: Path) -> str:
    """Every embedder's recorded figures on LFW's dev pairs."""
    known = cards.recorded(models)
    rows = [
        [f"`{name}`", "research only" if spec.research_only else "free"]
        + [known.get(name, {}).get(measure, {}).get("value", "") for measure in COLUMNS.values()]
        for name, spec in specs(models).items()
    ]
    return table(["model", "terms", *COLUMNS], rows, left=2)


def thresholds(models: Path) -> str:
    """The threshold and the false reject rate of every embedder at every calibrated false accept rate."""
    found = specs(models)
    fars = sorted({c.far for spec in found.values() for c in spec.thresholds}, reverse=True)
    rows = []
    for name, spec in found.items():
        at = {c.far: f"{c.threshold:.4f} ({100 * (1 - c.tar):.1f}%)" for c in spec.thresholds}
        curve = spec.probability
        rows.append(
            [f"`{name}`"]
            + [at.get(far, "") for far in fars]
            + ["s itself" if curve is None else f"sigmoid({curve.slope:.2f} s {curve.offset:+.2f})"]
        )
    return table(["model", *(f"FAR {far:g}" for far in fars), "probability of similarity s"], rows)


def mining(records: Path) -> str:
    """The recorded runs of triplets side by side: how negatives were chosen, and what came of it."""
    rows = []
    for path in sorted(records.glob("*/run.json")):
        facts, name = json.loads(path.read_text()), path.parent.name
        if facts["config"].get("system") != "triplet":
            continue
        with path.with_name("log.csv").open() as file:
            log = list(csv.DictReader(file))
        errors = [float(row["validation_error"]) for row in log if row["validation_error"]]
        config = facts["config"]
        rows.append(
            [
                f"`{name}`",
                config["mining"].replace("_", "-"),
                config["start_from"] or "random",
                str(len(log)),
                f"{float(log[0]['active']):.0f}",
                f"{float(log[-1]['active']):.0f}",
                f"{errors[0]:.3f}",
                f"{min(errors):.3f}",
            ]
        )
    head = [
        "run",
        "negatives",
        "begins with",
        "epochs",
        "active at first",
        "at last",
        "EER at first",
        "best EER",
    ]
    return table(head, rows, left=3)
