"""Tables of embedders, their thresholds, and the runs with triplet loss."""

import json
from pathlib import Path

from app.runtime.model_store import read_manifest
from training.reports import recognition as report

MODELS = Path("models")
EMBEDDERS = [m.name for m in read_manifest(MODELS).models if m.task == "embed"]


def test_each_embedder_has_its_row() -> None:
    for text in (report.figures(MODELS), report.thresholds(MODELS)):
        rows = text.splitlines()[2:]
        assert [row.split("|")[1].strip() for row in rows] == [f"`{name}`" for name in EMBEDDERS]


def test_thresholds_are_those_of_the_files() -> None:
    specs, text = report.specs(MODELS), report.thresholds(MODELS)
    for spec in specs.values():
        for c in spec.thresholds:
            assert f"{c.threshold:.4f} ({100 * (1 - c.tar):.1f}%)" in text


def test_runs_with_triplet_loss_are_compared(tmp_path: Path) -> None:
    for name, objective, mining in (
        ("a", "triplet", "semi_hard"),
        ("b", "triplet", "random"),
        ("c", "softmax", "random"),
    ):
        (tmp_path / name).mkdir()
        config = {"objective": objective, "mining": mining, "start_from": "c" if name == "a" else ""}
        (tmp_path / name / "run.json").write_text(json.dumps({"config": config}))
        log = "epoch,loss,active,validation_error\n1,0.2,300,0.4\n2,0.1,200,\n3,0.1,150,0.35\n"
        (tmp_path / name / "log.csv").write_text(log)
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in report.mining(tmp_path).splitlines()[2:]
    ]
    assert rows == [
        ["`a`", "semi-hard", "c", "3", "300", "150", "0.400", "0.350"],
        ["`b`", "random", "random", "3", "300", "150", "0.400", "0.350"],
    ]
