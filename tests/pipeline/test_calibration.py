"""Calibration on synthetic similarities: pairs, rates, intervals and thresholds."""

import itertools

import numpy as np
import pytest
from numpy import ndarray

from app.pipeline import calibration
from app.pipeline.calibration import Pairs, threshold_at_far
from app.pipeline.embedder import CosineEmbedder, Embedder, cosine
from tests.fakes import embedder as fake_embedder
from tests.fakes import fake_analyzer


def embedder() -> Embedder:
    return CosineEmbedder(fake_embedder().sessions["embedder"])


def vectors_of(seed: int, people: int, images: int, spread: float = 0.5) -> tuple[ndarray, ndarray]:
    """Return unit vectors (n, 8) around a random direction per person, and the people, in random order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([f"p{i:03d}" for i in range(people)], images))
    centres = {label: rng.normal(size=8) for label in np.unique(labels)}
    vectors = np.stack([centres[label] + spread * rng.normal(size=8) for label in labels])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def brute_force(vectors: ndarray, people: ndarray) -> tuple[list[float], list[float]]:
    genuine: list[float] = []
    impostors: list[float] = []
    for i, j in itertools.combinations(range(len(people)), 2):
        value = float(cosine(vectors[i][None], vectors[j][None])[0])
        (genuine if people[i] == people[j] else impostors).append(value)
    return genuine, impostors


def test_all_pairs_are_split_into_genuine_and_impostor_pairs() -> None:
    vectors, people = vectors_of(0, 7, 4)
    pairs = Pairs(embedder(), vectors, people)
    genuine, impostors = brute_force(vectors, people)
    assert (pairs.people, pairs.faces) == (7, 28)
    np.testing.assert_allclose(np.sort(pairs.genuine), np.sort(genuine), atol=1e-6)
    np.testing.assert_allclose(pairs.impostors, np.sort(impostors), atol=1e-6)


def test_the_rates_are_those_of_all_pairs() -> None:
    vectors, people = vectors_of(1, 9, 5)
    genuine, impostors = (np.array(values) for values in brute_force(vectors, people))
    rates = Pairs(embedder(), vectors, people).measure(0.5)
    assert rates.far.value == pytest.approx((impostors >= 0.5).mean())
    assert rates.tar.value == pytest.approx((genuine >= 0.5).mean())
    assert rates.far.low < rates.far.value < rates.far.high
    assert rates.tar.low < rates.tar.value < rates.tar.high
    similar = {
        frozenset((people[i], people[j]))
        for i, j in itertools.combinations(range(len(people)), 2)
        if people[i] != people[j] and vectors[i] @ vectors[j] >= 0.5
    }
    assert rates.pairs_of_people == len(similar)


def test_the_interval_is_that_of_drawn_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_ROUNDS", 40)
    vectors, people = vectors_of(2, 6, 3)
    pairs = Pairs(embedder(), vectors, people)
    names = np.unique(people)
    fars, tars = [], []
    for drawn in np.random.default_rng(0).multinomial(6, np.full(6, 1 / 6), size=40):
        # Every drawn copy of a person is a person of its own, but two copies are no impostor pair.
        copies = [name for name, times in zip(names, drawn, strict=True) for _ in range(times)]
        images = [(copy, i) for copy, name in enumerate(copies) for i in np.flatnonzero(people == name)]
        genuine, impostors = [], []
        for (a, i), (b, j) in itertools.combinations(images, 2):
            if a == b:
                genuine.append(vectors[i] @ vectors[j])
            elif copies[a] != copies[b]:
                impostors.append(vectors[i] @ vectors[j])
        fars.append((np.array(impostors) >= 0.4).mean())
        tars.append((np.array(genuine) >= 0.4).mean())
    rates = pairs.measure(0.4)
    assert (rates.far.low, rates.far.high) == pytest.approx(np.percentile(fars, (2.5, 97.5)))
    assert (rates.tar.low, rates.tar.high) == pytest.approx(np.percentile(tars, (2.5, 97.5)))


def test_the_interval_is_wide_if_one_person_has_all_accepted_pairs() -> None:
    vectors, people = vectors_of(3, 30, 4)
    vectors[people == "p000"] = vectors[people == "p001"]  # both look the same
    pairs = Pairs(embedder(), vectors, people)
    threshold = threshold_at_far([pairs], 0.001)
    rates = pairs.measure(threshold)
    assert rates.pairs_of_people < calibration.MIN_PAIRS_OF_PEOPLE
    assert rates.far.low == 0
    assert rates.far.high > 2 * rates.far.value


def test_undetected_faces_are_rejected_genuine_pairs_and_no_impostor_pairs() -> None:
    vectors, people = vectors_of(4, 5, 3, spread=0.01)
    vectors[people == "p002"] = np.nan
    pairs = Pairs(embedder(), vectors, people)
    assert (pairs.people, pairs.faces, len(pairs.genuine), len(pairs.impostors)) == (5, 12, 15, 6 * 9)
    assert pairs.measure(0.9).tar.value == pytest.approx(12 / 15)


def test_other_similarities_than_the_cosine_are_those_of_the_embedder() -> None:
    vectors, people = vectors_of(5, 4, 3)
    vectors[2] = np.nan

    class Distance(CosineEmbedder):
        def compare(self, a: ndarray, b: ndarray) -> ndarray:
            return (1 / (1 + np.linalg.norm(a - b, axis=1))).astype(np.float32)

    net = Distance(fake_embedder().sessions["embedder"])
    net.spec = net.spec.model_copy(update={"metric": "probability"})
    pairs = Pairs(net, vectors, people)
    expected = [
        1 / (1 + np.linalg.norm(vectors[i] - vectors[j]))
        for i, j in itertools.combinations(range(12), 2)
        if people[i] != people[j] and 2 not in (i, j)
    ]
    np.testing.assert_allclose(pairs.impostors, np.sort(expected), rtol=1e-5)
    np.testing.assert_array_equal(pairs.similarity, pairs.similarity.T)


@pytest.mark.parametrize("far", [0.2, 0.05, 0.01])
def test_the_threshold_is_the_lowest_at_which_no_far_exceeds_the_rate(far: float) -> None:
    populations = [Pairs(embedder(), *vectors_of(seed, 10, 4, spread)) for seed, spread in ((6, 0.3), (7, 2))]

    def worst(threshold: float) -> float:
        return max(float((p.impostors >= np.float32(threshold)).mean()) for p in populations)

    threshold = threshold_at_far(populations, far)
    assert round(threshold * 10_000) == pytest.approx(threshold * 10_000)
    assert worst(threshold) <= far < worst(threshold - 1e-4)


def test_the_most_similar_impostors_are_of_different_pairs_of_people() -> None:
    vectors, people = vectors_of(8, 6, 4)
    pairs = Pairs(embedder(), vectors, people)
    best: dict[frozenset[str], float] = {}
    for i, j in itertools.combinations(range(24), 2):
        both = frozenset((people[i], people[j]))
        if len(both) == 2:
            best[both] = max(best.get(both, -1), float(vectors[i] @ vectors[j]))
    found = pairs.most_similar_impostors(5)
    assert [value for value, _, _ in found] == pytest.approx(sorted(best.values(), reverse=True)[:5])
    for value, i, j in found:
        assert people[i] != people[j]
        assert vectors[i] @ vectors[j] == pytest.approx(value)


def test_the_weights_are_those_of_the_detector_and_the_embedder() -> None:
    weights = calibration.weights_of(fake_analyzer(), "vectors")
    assert "vectors-embedder.onnx" in weights
    assert "detector-onet.onnx" in weights
    assert "other-vectors-embedder.onnx" not in weights
