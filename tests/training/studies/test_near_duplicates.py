"""Copies of photographs, and the tables of those that are recognised."""

import numpy as np
import pytest

from app.pipeline.calibration import Pairs
from app.pipeline.open_set import near_duplicate_threshold
from tests.fakes import fake_analyzer
from training.studies import near_duplicates as study

ANALYZER = fake_analyzer()


@pytest.fixture(autouse=True)
def _fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "MODELS", ("vectors",))


def test_copies_have_the_size_and_nearly_the_pixels_of_the_photograph() -> None:
    ramp = np.linspace(0, 255, 200).astype(np.uint8)
    image = np.dstack([np.tile(ramp, (100, 1))] * 3)
    assert study.resized(image, 0.5).shape == (50, 100, 3)
    np.testing.assert_array_equal(study.cropped(image, 0.1), image[10:90, 20:180])
    compressed = study.jpeg(image, 75).astype(int)
    assert compressed.shape == image.shape
    assert 0 < np.abs(compressed - image).max() < 12


def test_tables_count_what_reaches_the_threshold() -> None:
    embedder = ANALYZER.embedder("vectors")
    threshold = near_duplicate_threshold(embedder.spec)
    assert threshold is not None
    found = {("vectors", way): [1.0, threshold + 1e-3, threshold - 1e-3, -1.0] for way in study.COPIES}
    rows = study.copies_table(ANALYZER, found).splitlines()[2:]
    assert len(rows) == len(study.COPIES)
    assert all(row.endswith("50% |") for row in rows)
    angles = np.arccos([1, threshold - 0.01])
    vectors = np.array([[np.cos(a), np.sin(a)] for a in (0, 0, angles[1])], np.float32)
    pairs = Pairs(embedder, np.concatenate([vectors, -vectors]), np.repeat(["a", "b"], 3))
    row = study.photographs_table(ANALYZER, {("vectors", "both"): pairs}).splitlines()[2]
    assert row.endswith("| 2 | 33.33% |")
