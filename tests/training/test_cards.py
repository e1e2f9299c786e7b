import json
from pathlib import Path

import pytest

from training import cards

LANDMARKS = "python -m training.evaluate landmarks --data DATA --model m"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "manifest.json").write_text(json.dumps({"models": []}))
    return tmp_path


def test_a_new_measurement_replaces_all_of_the_last_of_its_kind(models: Path) -> None:
    cards.record(models, "m", {"a": "1", "b": "2"}, LANDMARKS)
    cards.record(
        models, "m", {"speed": "9"}, "python -m training.evaluate verification --data DATA --model m"
    )
    cards.record(models, "other", {"a": "5"}, LANDMARKS)
    cards.record(models, "m", {"b": "3"}, f"{LANDMARKS} --prepared cache/x")
    known = cards.recorded(models)
    values = {model: {k: row["value"] for k, row in rows.items()} for model, rows in known.items()}
    assert values == {"m": {"speed": "9", "b": "3"}, "other": {"a": "5"}}


def test_the_cards_are_written_with_the_figures(models: Path) -> None:
    cards.record(models, "m", {"a": "1"}, LANDMARKS)
    assert (models / "README.md").read_text() == cards.render(models)


def test_a_store_without_figures_has_none(tmp_path: Path) -> None:
    assert cards.recorded(tmp_path) == {}
