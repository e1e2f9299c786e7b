"""Tables of embedders, their thresholds, and the runs with triplet loss."""

import json
from pathlib import Path

import pytest

from app.runtime.manifest import read_manifest
from training.reports import model_cards
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


def test_the_rates_of_populations_are_those_of_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(value: str) -> dict[str, str]:
        return {"value": value, "command": "c", "date": "d"}

    recorded = {
        "sface": {
            "calibration, LFW View 1, FAR at the threshold for FAR 0.001": row("f1"),
            "calibration, LFW View 1, FAR at the threshold for FAR 1e-05": row("f2"),
            "calibration, CelebA, FAR at the threshold for FAR 0.001": row("f3"),
            "calibration, CelebA, TAR at the threshold for FAR 0.001": row("t1"),
            "celeba, TAR at FAR 0.001": row("another"),
        }
    }
    monkeypatch.setattr(model_cards, "recorded", lambda models: recorded)
    fars, tars = report.populations(MODELS).split("\n\n")
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in fars.splitlines()[2:]]
    assert cells == [
        ["`sface`", "LFW View 1", "", "f1", "", "f2"],
        ["`sface`", "CelebA", "", "f3", "", ""],
    ]
    assert tars.splitlines()[2:] == ["| `sface` | CelebA |  | t1 |  |  |"]
    monkeypatch.setattr(model_cards, "recorded", lambda models: {})
    assert report.populations(MODELS) == ""


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
