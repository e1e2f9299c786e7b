"""Rules that choose one threshold for several populations, on synthetic vectors."""

import numpy as np
import pytest

from app.pipeline.calibration import Pairs, threshold_at_far
from tests.fakes import fake_analyzer
from training.evaluation.populations import FaceVectors
from training.studies import calibration_rules as study

EMBEDDER = fake_analyzer().embedder("vectors")


def population(seed: int, people: int, likeness: float) -> FaceVectors:
    """Return vectors of three images of each person; the likeness moves all to one direction."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), 3)
    vectors = (rng.normal(size=(people, 16)) + likeness)[labels] + 0.3 * rng.normal(size=(len(labels), 16))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return FaceVectors(unit.astype(np.float32), labels)


FACES = [population(0, 60, 0.0), population(1, 40, 0.6), population(2, 30, 0.2)]


def test_the_chosen_rule_is_that_of_the_calibration() -> None:
    populations = [Pairs(EMBEDDER, *one) for one in FACES]
    for far in (0.1, 0.01):
        chosen = study.threshold(study.RULES["worst population"], populations, far)
        assert chosen == threshold_at_far(populations, far)
        assert study.threshold(study.RULES["LFW alone"], populations, far) == threshold_at_far(
            populations[:1], far
        )


def test_the_tables_have_a_row_for_each_rule_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "FARS", (0.1, 0.01))
    everyone, new = study.all_people(EMBEDDER, FACES), study.new_people(EMBEDDER, FACES, 3)
    rows = {
        (name.strip(), float(far)): [float(cell) for cell in cells[:-1]]
        for _, name, far, *cells in (row.split("|") for row in everyone.splitlines()[2:])
    }
    assert list(rows) == [(name, far) for name in study.RULES for far in (0.1, 0.01)]
    assert max(rows["worst population", 0.01][1:4]) == pytest.approx(1, abs=0.05)
    assert rows["LFW alone", 0.01][1] == pytest.approx(1, abs=0.05)
    assert rows["LFW alone", 0.01][2] > 1.5
    assert rows["worst population", 0.01][0] > rows["mean", 0.01][0] > rows["LFW alone", 0.01][0]
    worst = next(row for row in new.splitlines() if row.startswith("| worst population | 0.1 "))
    assert worst.endswith("| 100% |")
