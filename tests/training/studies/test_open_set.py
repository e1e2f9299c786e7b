"""The tables of the study on synthetic vectors: what was promised is measured on people left out."""

import numpy as np
import pytest

from app.pipeline.calibration import FARS, Pairs, threshold_at_far
from app.pipeline.embedder import CosineEmbedder
from app.vision.spec import Calibration
from tests.fakes import fake_analyzer
from training.evaluation.embedded_populations import (
    ALL,
    CELEBA,
    LFW,
    VGGFACE2,
    EmbeddedPopulations,
    joined,
    merged,
    people_in_two,
)
from training.evaluation.galleries import best_faces, enrol_people, everyone_else, label_faces
from training.evaluation.populations import FaceVectors
from training.studies import open_set as study
from training.studies import open_set_rules


def population(seed: int, people: int, images: int) -> FaceVectors:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), images)
    vectors = rng.normal(size=(people, 24))[labels] + 0.3 * rng.normal(size=(len(labels), 24))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return FaceVectors(unit.astype(np.float32), np.array([f"{seed}/{i}" for i in labels]))


def embedded() -> EmbeddedPopulations:
    populations = {
        LFW: population(0, 720, 2),
        CELEBA: population(1, 80, 14),
        VGGFACE2: population(2, 60, 12),
    }
    embedder = fake_analyzer().embedder("vectors")
    pairs = [Pairs(embedder, *one) for one in populations.values()]
    thresholds = tuple(Calibration(far=far, threshold=threshold_at_far(pairs, far), tar=1) for far in FARS)
    assert isinstance(embedder, CosineEmbedder)
    embedder.spec = embedder.spec.model_copy(update={"thresholds": thresholds})
    return EmbeddedPopulations(embedder, populations)


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines()[2:]]


def test_the_measured_rate_is_about_the_promised_one_for_each_population() -> None:
    found = rows(study.promises([embedded()], 10))
    assert {(name, size) for _, name, size, *_ in found} >= {(LFW, "100"), (ALL, "1,000")}
    ratios = [float(row[3].split()[0]) for row in found]  # for FPIR 0.1
    assert all(0.2 < ratio < 1.3 for ratio in ratios)


def test_the_promise_holds_for_people_out_of_the_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "FPIRS", (0.1,))
    for name, size, cell in rows(study.new_people(embedded(), 1)):
        mean, _, held = cell.split(" / ")
        assert 0.1 < float(mean) < 1.6, (name, size)
        assert held == "100%"


def test_rules_differ_where_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_set_rules, "SIZES", (50, 300, 900))
    table = {
        name: [float(cell.split(",")[0]) for cell in cells[:2]]
        for name, *cells in rows(open_set_rules.rules(embedded(), 5))
    }
    assert table["every face, normal tail"] == pytest.approx(table["every face, exponential tail"], abs=0.01)
    assert table["every person"][0] >= table["every face, normal tail"][0]
    assert table["FAR 0.001"][1] > 10 * table["every face, normal tail"][1]


def test_a_gallery_calibrated_by_its_own_faces_accepts_few_strangers() -> None:
    faces = label_faces([population(3, 300, 4)])
    rng, found = np.random.default_rng(0), []
    for _ in range(10):
        gallery = enrol_people(faces, 150, 1, rng)
        found.append(best_faces(faces, gallery).fpir(open_set_rules.own_scores(faces, gallery, 0.05)))
    assert np.mean(found) == pytest.approx(0.05, abs=0.03)


def test_everyone_else_is_never_the_same_person() -> None:
    one = population(4, 30, 3)
    one.vectors[1] = one.vectors[0]
    best = everyone_else(label_faces([one])).strangers
    assert best.max() < 0.999
    assert len(best) == 90


def test_people_of_two_populations_become_one() -> None:
    both = embedded()
    twin = both.populations[CELEBA].vectors[:12]
    both.populations[VGGFACE2].vectors[:12] = twin
    same = people_in_two(both)
    assert same == {(VGGFACE2, "2/0"): (CELEBA, "1/0")}
    named = merged(both.populations, same)
    assert named[VGGFACE2].people[0] == named[CELEBA].people[0]
    assert len(np.unique(joined(named).people)) == 859
