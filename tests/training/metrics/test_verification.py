"""Measures of verification: folds, thresholds, ROC, AUC and EER."""

import numpy as np
import pytest
from numpy import ndarray

from training.metrics import verification as v

SAME = np.array([True] * 50 + [False] * 50)


def test_separated_similarities_are_classified_without_error() -> None:
    similarity = np.concatenate([np.linspace(0.6, 0.9, 50), np.linspace(0.0, 0.3, 50)])
    result = v.ten_folds(similarity, SAME, v.split_folds(SAME))
    assert result.accuracy == 1
    assert result.standard_error == 0
    assert 0.3 < result.threshold < 0.6
    assert v.auc(similarity, SAME) == 1
    assert v.eer(similarity, SAME) == 0


def test_random_similarities_are_at_chance() -> None:
    similarity = np.random.default_rng(0).uniform(size=100)
    assert v.ten_folds(similarity, SAME, v.split_folds(SAME)).accuracy == pytest.approx(0.5, abs=0.15)
    assert v.auc(similarity, SAME) == pytest.approx(0.5, abs=0.15)


def test_the_threshold_of_a_fold_does_not_depend_on_that_fold() -> None:
    similarity = np.where(SAME, 0.8, 0.2)
    folds = v.split_folds(SAME)
    similarity[folds == 3] = np.where(SAME, 0.2, 0.8)[folds == 3]
    assert v.ten_folds(similarity, SAME, folds).accuracy == pytest.approx(0.9)


def test_folds_are_even_and_seeded() -> None:
    folds = v.split_folds(SAME)
    assert np.array_equal(folds, v.split_folds(SAME))
    for fold in range(10):
        assert SAME[folds == fold].tolist().count(True) == 5
        assert (folds == fold).sum() == 10


def test_a_pair_with_an_undetected_face_is_an_error() -> None:
    similarity = np.array([np.nan, np.nan, 0.9, 0.1])
    same = np.array([True, False, True, False])
    assert v.accuracy(similarity, same, 0.5) == 0.5
    assert v.tar(similarity[same], 0.5) == 0.5


def test_the_best_threshold_is_as_good_as_any_other() -> None:
    rng = np.random.default_rng(1)
    similarity = np.concatenate([rng.normal(0.6, 0.2, 50), rng.normal(0.3, 0.2, 50)])
    best = v.accuracy(similarity, SAME, v.best_threshold(similarity, SAME))
    assert best == max(v.accuracy(similarity, SAME, t) for t in np.linspace(-1, 2, 3001))


def samples(seed: int, *, ties: bool = False, missing: bool = False) -> tuple[ndarray, ndarray]:
    """Return similarities of 300 genuine and 500 impostor pairs, and whether each pair is genuine."""
    rng = np.random.default_rng(seed)
    similarity = np.concatenate([rng.normal(0.5, 0.2, 300), rng.normal(0.2, 0.2, 500)])
    similarity = similarity.round(1) if ties else similarity
    if missing:
        similarity[::40] = np.nan
    order = rng.permutation(800)
    return similarity[order], (np.arange(800) < 300)[order]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_auc_is_the_share_of_genuine_pairs_above_impostor_pairs(seed: int, ties: bool, missing: bool) -> None:
    similarity, same = samples(seed, ties=ties, missing=missing)
    values = np.nan_to_num(similarity, nan=-9.0)
    genuine, impostors = values[same][:, None], values[~same][None]
    expected = (genuine > impostors).mean() + 0.5 * (genuine == impostors).mean()
    assert v.auc(similarity, same) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_eer_is_where_both_rates_are_closest(ties: bool, missing: bool) -> None:
    similarity, same = samples(3, ties=ties, missing=missing)
    values = np.nan_to_num(similarity, nan=-9.0)
    thresholds = [np.inf, *np.unique(values)[::-1]]
    rates = [((values[~same] >= t).mean(), (values[same] < t).mean()) for t in thresholds]
    far, frr = min(rates, key=lambda pair: abs(pair[0] - pair[1]))
    assert v.eer(similarity, same) == pytest.approx((far + frr) / 2, rel=1e-12)


def test_the_roc_curve_has_one_point_for_each_threshold_and_both_ends() -> None:
    similarity, same = np.array([0.9, 0.5, 0.5, 0.5, 0.1]), np.array([True, True, False, True, False])
    fars, tars = v.roc(similarity, same)
    np.testing.assert_allclose(fars, [0, 0, 0.5, 1])
    np.testing.assert_allclose(tars, [0, 1 / 3, 1, 1])
