import numpy as np
import pytest

from training import verification as v

SAME = np.array([True] * 50 + [False] * 50)


def test_separated_similarities_are_answered_without_error() -> None:
    similarity = np.concatenate([np.linspace(0.6, 0.9, 50), np.linspace(0.0, 0.3, 50)])
    result = v.ten_folds(similarity, SAME, v.split_folds(SAME))
    assert result.accuracy == 1
    assert result.standard_error == 0
    assert 0.3 < result.threshold < 0.6
    assert v.auc(similarity, SAME) == 1
    assert v.eer(similarity, SAME) == 0


def test_chance_is_chance() -> None:
    similarity = np.random.default_rng(0).uniform(size=100)
    assert v.ten_folds(similarity, SAME, v.split_folds(SAME)).accuracy == pytest.approx(0.5, abs=0.15)
    assert v.auc(similarity, SAME) == pytest.approx(0.5, abs=0.15)


def test_the_threshold_of_a_fold_never_sees_that_fold() -> None:
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


def test_an_undetected_face_is_an_error_either_way() -> None:
    similarity = np.array([np.nan, np.nan, 0.9, 0.1])
    same = np.array([True, False, True, False])
    assert v.accuracy(similarity, same, 0.5) == 0.5
    assert v.tar(similarity[same], 0.5) == 0.5


def test_best_threshold_is_as_good_as_any() -> None:
    rng = np.random.default_rng(1)
    similarity = np.concatenate([rng.normal(0.6, 0.2, 50), rng.normal(0.3, 0.2, 50)])
    best = v.accuracy(similarity, SAME, v.best_threshold(similarity, SAME))
    assert best == max(v.accuracy(similarity, SAME, t) for t in np.linspace(-1, 2, 3001))


@pytest.mark.parametrize("far", [0.1, 0.01, 0.001])
def test_threshold_at_far_accepts_at_most_that_share_and_is_the_lowest_such(far: float) -> None:
    impostors = np.random.default_rng(2).normal(size=5000).astype(np.float32)
    threshold = v.threshold_at_far(impostors, far)
    accepted = np.float64((impostors >= np.float32(threshold)).sum())
    assert accepted == np.floor(far * 5000)


def test_too_few_impostors_for_a_rate_is_said() -> None:
    with pytest.raises(ValueError, match="99 impostor pairs cannot tell"):
        v.threshold_at_far(np.zeros(99), 1e-2)
