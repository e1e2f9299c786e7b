"""Platt scaling: the curve from a similarity to a probability."""

import numpy as np
import pytest
from numpy import ndarray

from app.pipeline import platt
from app.pipeline.platt import fit_probability
from app.vision.spec import Probability


def probability(curve: Probability, similarity: float) -> float:
    return float(1 / (1 + np.exp(-(curve.slope * similarity + curve.offset))))


def test_the_curve_of_two_normal_distributions_is_their_likelihood_ratio() -> None:
    # Of means m and n and one variance v, the log ratio is (m - n) / v * (x - (m + n) / 2).
    rng = np.random.default_rng(0)
    curve = fit_probability([rng.normal(0.6, 0.1, 40_000)], [rng.normal(0.2, 0.1, 200_000)])
    assert curve.slope == pytest.approx(40, rel=0.05)
    assert -curve.offset / curve.slope == pytest.approx(0.4, abs=0.005)


def test_both_kinds_of_pairs_weigh_the_same_whatever_their_number() -> None:
    rng = np.random.default_rng(1)
    genuine, impostors = rng.normal(0.5, 0.1, 500), rng.normal(0.3, 0.1, 500)
    few, many = fit_probability([genuine], [impostors]), fit_probability([genuine], [np.tile(impostors, 50)])
    assert many.slope == pytest.approx(few.slope, rel=0.02)
    assert many.offset == pytest.approx(few.offset, rel=0.02)


def test_populations_weigh_the_same_whatever_their_number_of_pairs() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(0.1, 0.1, 1000), rng.normal(0.4, 0.1, 1000)
    genuine = [rng.normal(0.6, 0.1, 500)]
    few, many = fit_probability(genuine, [a, b]), fit_probability(genuine, [a, np.tile(b, 20)])
    assert many.slope == pytest.approx(few.slope, rel=0.02)
    assert many.offset == pytest.approx(few.offset, rel=0.02)
    assert probability(fit_probability(genuine, [np.concatenate([a, np.tile(b, 20)])]), 0.5) < 0.97 * (
        probability(few, 0.5)
    )


def test_kinds_that_do_not_overlap_give_a_finite_slope() -> None:
    curve = fit_probability([np.linspace(0.7, 0.9, 50)], [np.linspace(-0.1, 0.1, 50)])
    assert 0 < curve.slope < 1000
    assert probability(curve, 0.7) > 0.9
    assert probability(curve, 0.1) < 0.1


def test_pairs_without_a_similarity_do_not_count() -> None:
    rng = np.random.default_rng(2)
    genuine, impostors = rng.normal(0.5, 0.1, 300), rng.normal(0.3, 0.1, 300)
    with_gaps = np.concatenate([genuine, [np.nan, np.nan]])
    assert fit_probability([with_gaps], [impostors]) == fit_probability([genuine], [impostors])


def test_a_part_of_many_pairs_gives_the_same_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    genuine, impostors = [rng.normal(0.5, 0.1, 5000)], [rng.normal(0.2, 0.1, 40_000)]
    exact = fit_probability(genuine, impostors)
    monkeypatch.setattr(platt, "_MAX_FITTED", 1000)
    part = fit_probability(genuine, impostors)
    assert part != exact
    assert part.slope == pytest.approx(exact.slope, rel=0.01)
    assert part.offset == pytest.approx(exact.offset, rel=0.01)


def gradient(curve: Probability, genuine: ndarray, impostors: ndarray) -> ndarray:
    """Return the gradient of Platt's weighted loss, for slope and offset in standard units."""
    x = np.concatenate([genuine, impostors]).astype(np.float64)
    counts = len(genuine), len(impostors)
    target = np.repeat([(counts[0] + 1) / (counts[0] + 2), 1 / (counts[1] + 2)], counts)
    weight = np.repeat([0.5 / counts[0], 0.5 / counts[1]], counts)
    error = weight * (1 / (1 + np.exp(-(curve.slope * x + curve.offset))) - target)
    return np.array([error @ ((x - x.mean()) / x.std()), error.sum()])


@pytest.mark.parametrize(
    ("genuine", "impostors", "slope", "offset"),
    [
        # The figures are those of scikit-learn's LogisticRegression on the same loss.
        (np.linspace(0.7, 0.9, 50), np.linspace(-0.1, 0.1, 50), 10.021596089172217, -4.008638435668888),
        (np.array([0.5, 0.6]), np.array([0.1, 0.55, 0.2]), 4.361278749897937, -1.9670943038202884),
        (np.linspace(0, 1, 101), np.linspace(-0.5, 0.7, 301), 3.5920905678137727, -1.1226354243445429),
    ],
)
def test_the_fit_equals_that_of_scikit_learn(
    genuine: ndarray, impostors: ndarray, slope: float, offset: float
) -> None:
    curve = fit_probability([genuine], [impostors])
    assert curve.slope == pytest.approx(slope, rel=1e-6)
    assert curve.offset == pytest.approx(offset, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("overlap", [0.05, 0.3, 0.6])
def test_the_fit_is_the_minimum_of_platts_loss(overlap: float, scale: float) -> None:
    rng = np.random.default_rng(3)
    genuine = scale * rng.normal(0.6, overlap, 2000)
    impostors = scale * rng.normal(0.1, overlap, 9000)
    assert np.abs(gradient(fit_probability([genuine], [impostors]), genuine, impostors)).max() < 1e-8
