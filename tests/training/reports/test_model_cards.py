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


def values(models: Path) -> dict[str, dict[str, str]]:
    recorded = model_cards.recorded(models)
    return {model: {k: row["value"] for k, row in rows.items()} for model, rows in recorded.items()}


def test_a_new_measurement_replaces_the_figures_of_its_command_and_of_its_metrics(models: Path) -> None:
    model_cards.record(models, "m", {"a": "1", "b": "2"}, LANDMARKS)
    model_cards.record(models, "other", {"a": "5"}, LANDMARKS)
    prepared = f"{LANDMARKS} --prepared cache/x"
    model_cards.record(models, "m", {"b": "3", "c": "4"}, prepared)
    assert values(models) == {"m": {"a": "1", "b": "3", "c": "4"}, "other": {"a": "5"}}
    model_cards.record(models, "m", {"a": "6"}, LANDMARKS)
    assert values(models)["m"] == {"a": "6", "b": "3", "c": "4"}
    model_cards.record(models, "m", {"d": "7"}, prepared)
    assert values(models)["m"] == {"a": "6", "d": "7"}


def test_figures_of_other_pairs_are_kept(models: Path) -> None:
    command = "python -m training.evaluate verification --data DATA --model m"
    model_cards.record(models, "m", {"LFW View 1, EER": "1"}, command)
    model_cards.record(models, "m", {"LFW pairs.txt, EER": "2"}, f"{command} --pairs pairs.txt")
    assert values(models)["m"] == {"LFW View 1, EER": "1", "LFW pairs.txt, EER": "2"}


def test_forgotten_figures_leave_those_of_other_models(models: Path) -> None:
    model_cards.record(models, "m", {"a": "1", "b": "2"}, LANDMARKS)
    model_cards.record(models, "m", {"c": "3"}, f"{LANDMARKS} --prepared x")
    model_cards.record(models, "other", {"a": "5"}, LANDMARKS)
    assert model_cards.forget(models, "m") == [LANDMARKS, f"{LANDMARKS} --prepared x"]
    assert values(models) == {"other": {"a": "5"}}
    assert model_cards.forget(models, "m") == []


def test_recording_writes_the_cards(models: Path) -> None:
    model_cards.record(models, "m", {"a": "1"}, LANDMARKS)
    assert (models / "README.md").read_text() == model_cards.render(models)


def test_a_store_without_figures_has_none(tmp_path: Path) -> None:
    assert model_cards.recorded(tmp_path) == {}


def test_the_committed_cards_are_those_of_the_store() -> None:
    assert Path("models/README.md").read_text() == model_cards.render(Path("models"))
