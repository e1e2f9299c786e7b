"""Recorded figures and the model cards."""

import json
from pathlib import Path

import pytest

from training.reports import model_cards

LANDMARKS = "python -m training.evaluate landmarks --data DATA --model m"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "manifest.json").write_text(json.dumps({"models": []}))
    return tmp_path


def test_a_new_measurement_replaces_all_figures_of_the_same_kind(models: Path) -> None:
    model_cards.record(models, "m", {"a": "1", "b": "2"}, LANDMARKS)
    model_cards.record(
        models, "m", {"speed": "9"}, "python -m training.evaluate verification --data DATA --model m"
    )
    model_cards.record(models, "other", {"a": "5"}, LANDMARKS)
    model_cards.record(models, "m", {"b": "3"}, f"{LANDMARKS} --prepared cache/x")
    recorded = model_cards.recorded(models)
    values = {model: {k: row["value"] for k, row in rows.items()} for model, rows in recorded.items()}
    assert values == {"m": {"speed": "9", "b": "3"}, "other": {"a": "5"}}


def test_recording_writes_the_cards(models: Path) -> None:
    model_cards.record(models, "m", {"a": "1"}, LANDMARKS)
    assert (models / "README.md").read_text() == model_cards.render(models)


def test_a_store_without_figures_has_none(tmp_path: Path) -> None:
    assert model_cards.recorded(tmp_path) == {}


def test_the_committed_cards_are_those_of_the_store() -> None:
    assert Path("models/README.md").read_text() == model_cards.render(Path("models"))
