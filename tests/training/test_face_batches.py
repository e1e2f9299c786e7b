"""Batches by person, by people and pictures, and by pairs: functions of seed, epoch and number alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from training.config import Augmentation, FaceConfig
from training.data.face_batches import FaceBatches, balancing, people_by_pictures, zipped
from training.data.gallery import Gallery

LABELS = np.repeat(np.arange(6), [8, 8, 8, 8, 5, 1])


def faces(labels: ndarray = LABELS) -> Gallery:
    """Pictures that tell their own number in every pixel."""
    images = np.broadcast_to(
        np.arange(len(labels), dtype=np.uint8)[:, None, None, None], (len(labels), 24, 24, 3)
    )
    return Gallery(np.ascontiguousarray(images), labels, tuple(map(str, range(len(labels)))), span=20)


def settings(**more: object) -> FaceConfig:
    return FaceConfig.model_validate(
        {
            "name": "tiny",
            "system": "softmax",
            "size": 16,
            "template": "arcface",
            "dimension": 4,
            "epochs": 2,
            "batch": 8,
            "learning_rate": 1e-3,
            "final_learning_rate": 1e-5,
        }
        | more
    )


def numbers(images: ndarray | list[ndarray]) -> ndarray:
    """Which pictures these are."""
    return np.asarray(images)[:, 8, 8, 0].astype(int)


def test_a_pass_of_labelled_pictures_takes_each_once() -> None:
    batches = list(FaceBatches(faces(), settings()).epoch(0))
    assert len(batches) == len(LABELS) // 8
    seen = np.concatenate([numbers(inputs[0]) for inputs, _ in batches])
    assert len(set(seen)) == len(seen)
    for (pictures, labels), truth in batches:
        np.testing.assert_array_equal(labels, truth)
        np.testing.assert_array_equal(LABELS[numbers(pictures)], truth[:, 0])


@pytest.mark.parametrize("system", ["softmax", "triplet", "siamese"])
def test_batches_depend_on_seed_epoch_and_number_alone(system: str) -> None:
    how = settings(
        system=system, people=4, pictures=2, pairs=32, augment=Augmentation(flip_share=0.5, shift=0.1)
    )
    source = FaceBatches(faces(), how)
    again, later = list(source.epoch(3)), list(source.epoch(4))
    for (a, p), (b, q) in zip(source.epoch(3), again, strict=True):
        np.testing.assert_array_equal(np.asarray(a[0]), np.asarray(b[0]))
        np.testing.assert_array_equal(p, q)
    assert not np.array_equal(again[0][1], later[0][1]) or not np.array_equal(again[0][0][0], later[0][0][0])


def test_a_triplet_batch_is_people_by_pictures_with_scores() -> None:
    how = settings(system="triplet", people=4, pictures=2)
    for pictures, truth in FaceBatches(faces(), how).epoch(0):
        labels, scores = truth[:, 0], truth[:, 1:]
        np.testing.assert_array_equal(LABELS[numbers(pictures)], labels)
        assert sorted(np.bincount(labels.astype(int), minlength=6)) == [0, 0, 2, 2, 2, 2]
        assert len(set(numbers(pictures))) == 8
        assert scores.shape == (8, 8)
        assert ((scores >= 0) & (scores < 1)).all()


def test_too_few_people_for_a_batch_is_said() -> None:
    with pytest.raises(ValueError, match="5 people have 2 pictures, and a batch wants 6"):
        people_by_pictures(LABELS, 6, 2, np.random.default_rng(0))


@given(st.integers(0, 1000))
def test_pairs_are_never_a_picture_with_itself_and_tell_the_truth(seed: int) -> None:
    pairs = zipped(LABELS, 200, (1.0, balancing(LABELS)), np.random.default_rng(seed))
    assert len(pairs.left) == len(pairs.right) == len(pairs.same) == 200
    assert (pairs.left != pairs.right).all()
    np.testing.assert_array_equal(pairs.same, LABELS[pairs.left] == LABELS[pairs.right])


def test_about_half_of_balanced_pairs_are_genuine() -> None:
    labels = np.repeat(np.arange(40), 10)
    pairs = zipped(labels, 4000, (1.0, balancing(labels)), np.random.default_rng(0))
    assert pairs.same.mean() == pytest.approx(0.5, abs=0.03)


def test_the_shares_that_are_kept_decide() -> None:
    rng = np.random.default_rng(0)
    assert zipped(LABELS, 100, (1.0, 0.0), rng).same.all()
    assert not zipped(LABELS, 100, (0.0, 1.0), rng).same.any()
    plain = zipped(LABELS, 4000, (1.0, 1.0), rng).same.mean()
    sizes = np.bincount(LABELS)
    assert plain == pytest.approx((sizes * (sizes - 1)).sum() / (len(LABELS) * (len(LABELS) - 1)), abs=0.03)


@pytest.mark.parametrize(
    ("labels", "kept"),
    [([0, 1, 2], (1.0, 0.0)), ([0, 0, 0], (0.0, 1.0)), ([0], (1.0, 1.0)), ([0, 0, 1], (0.0, 0.0))],
)
def test_a_filter_that_nothing_passes_is_an_error_and_no_endless_reading(
    labels: list[int], kept: tuple[float, float]
) -> None:
    with pytest.raises(ValueError, match="never end"):
        zipped(np.array(labels), 4, kept, np.random.default_rng(0))


def test_pair_batches_give_both_sides_and_whether_they_are_one_person() -> None:
    how = settings(system="siamese", pairs=40)
    batches = list(FaceBatches(faces(), how).epoch(1))
    assert len(batches) == 5
    for (left, right), truth in batches:
        a, b = numbers(left), numbers(right)
        assert (a != b).all()
        np.testing.assert_array_equal(truth, np.stack([LABELS[a] == LABELS[b], LABELS[a], LABELS[b]], axis=1))
