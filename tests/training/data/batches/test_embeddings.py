"""Batches for embedding nets: by person, people by images, and pairs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from tests.training.batches import assert_depend_on_seed_and_epoch_alone, batches_of
from training.config.columns import PairLabel, TripletLabel
from training.config.registry import RunError
from training.config.schema import Augmentation, EmbeddingConfig
from training.data.batches.embeddings import EmbeddingBatches, balanced_share, sample_pairs
from training.data.storage.identity_crops import IdentityCrops

LABELS = np.repeat(np.arange(6), [8, 8, 8, 8, 5, 1])


def faces(labels: ndarray = LABELS) -> IdentityCrops:
    """Return images with their own number in every pixel."""
    images = np.broadcast_to(
        np.arange(len(labels), dtype=np.uint8)[:, None, None, None], (len(labels), 24, 24, 3)
    )
    return IdentityCrops(np.ascontiguousarray(images), labels, tuple(map(str, range(len(labels)))), span=20)


def config_with(**changes: object) -> EmbeddingConfig:
    return EmbeddingConfig.model_validate(
        {
            "name": "tiny",
            "objective": "softmax",
            "size": 16,
            "template": "arcface",
            "dimension": 4,
            "epochs": 2,
            "batch": 8,
            "learning_rate": 1e-3,
            "final_learning_rate": 1e-5,
        }
        | changes
    )


def numbers(images: ndarray) -> ndarray:
    """Return the numbers of the images."""
    return images[:, 8, 8, 0].astype(int)


def test_an_epoch_of_softmax_has_each_image_once() -> None:
    batches = batches_of(EmbeddingBatches(faces(), config_with()), 0)
    assert len(batches) == len(LABELS) // 8
    seen = np.concatenate([numbers(inputs[0]) for inputs, _ in batches])
    assert len(set(seen)) == len(seen)
    for (images, people), labels in batches:
        np.testing.assert_array_equal(people, labels)
        np.testing.assert_array_equal(LABELS[numbers(images)], labels[:, 0])


def test_a_batch_of_distillation_has_the_vectors_of_its_images() -> None:
    vectors = np.random.default_rng(0).random((len(LABELS), 4), np.float32)
    taught = replace(faces(), vectors=vectors)
    batches = batches_of(EmbeddingBatches(taught, config_with(objective="distillation")), 0)
    assert len(batches) == len(LABELS) // 8
    for images, labels in batches:
        np.testing.assert_array_equal(labels, vectors[numbers(images)])


def test_a_set_for_distillation_may_have_faces_without_names() -> None:
    labels = np.where(np.arange(len(LABELS)) < 20, -1, LABELS)
    taught = replace(faces(labels), vectors=np.zeros((len(labels), 4), np.float32))
    assert len(EmbeddingBatches(taught, config_with(objective="distillation"))) == len(labels) // 8


def test_distillation_needs_vectors() -> None:
    with pytest.raises(ValueError, match=r"training\.prepare distillation"):
        EmbeddingBatches(faces(), config_with(objective="distillation"))


@pytest.mark.parametrize("objective", ["softmax", "triplet", "siamese"])
def test_batches_depend_on_seed_and_epoch_alone(objective: str) -> None:
    first, other = (
        EmbeddingBatches(
            faces(),
            config_with(
                objective=objective,
                people_per_batch=4,
                images_per_person=2,
                pairs_per_epoch=32,
                augment=Augmentation(flip_share=0.5, shift=0.1),
                seed=seed,
            ),
        )
        for seed in (0, 1)
    )
    assert_depend_on_seed_and_epoch_alone(first, other)


def test_a_triplet_batch_has_people_by_images_with_scores() -> None:
    config = config_with(objective="triplet", people_per_batch=4, images_per_person=2)
    for images, labels in batches_of(EmbeddingBatches(faces(), config), 0):
        people, scores = labels[:, TripletLabel.PERSON], labels[:, TripletLabel.SCORES]
        np.testing.assert_array_equal(LABELS[numbers(images)], people)
        assert sorted(np.bincount(people.astype(int), minlength=6)) == [0, 0, 2, 2, 2, 2]
        assert len(set(numbers(images))) == 8
        assert scores.shape == (8, 8)
        assert ((scores >= 0) & (scores < 1)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"objective": "triplet", "people_per_batch": 6, "images_per_person": 2},
            r"has 6 people with 2 images each; .* has 5 people .* Give --set people_per_batch or",
        ),
        ({"objective": "triplet", "people_per_batch": 4, "images_per_person": 1}, "it needs two people"),
        (
            {"objective": "softmax", "batch": 39},
            r"has 38 images, fewer than a batch of 39\. Give",
        ),
        ({"objective": "siamese", "pairs_per_epoch": 7}, r"has 7 pairs \(pairs_per_epoch\), a batch 8,"),
    ],
)
def test_a_set_that_fills_no_batch_is_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        EmbeddingBatches(faces(), config_with(**changes))


def test_a_set_of_one_person_is_an_error() -> None:
    one = replace(faces(), labels=np.zeros(len(faces()), np.int64))
    with pytest.raises(RunError, match="has one person only"):
        EmbeddingBatches(one, config_with())


@given(st.integers(0, 1000))
def test_pairs_are_never_an_image_with_itself_and_are_labelled_correctly(seed: int) -> None:
    pairs = sample_pairs(LABELS, 200, (1.0, balanced_share(LABELS)), np.random.default_rng(seed))
    assert len(pairs.left) == len(pairs.right) == len(pairs.same) == 200
    assert (pairs.left != pairs.right).all()
    np.testing.assert_array_equal(pairs.same, LABELS[pairs.left] == LABELS[pairs.right])


def test_about_half_of_balanced_pairs_are_genuine() -> None:
    labels = np.repeat(np.arange(40), 10)
    pairs = sample_pairs(labels, 4000, (1.0, balanced_share(labels)), np.random.default_rng(0))
    assert pairs.same.mean() == pytest.approx(0.5, abs=0.03)


def test_the_kept_shares_decide_the_kinds_of_pairs() -> None:
    rng = np.random.default_rng(0)
    assert sample_pairs(LABELS, 100, (1.0, 0.0), rng).same.all()
    assert not sample_pairs(LABELS, 100, (0.0, 1.0), rng).same.any()
    unfiltered = sample_pairs(LABELS, 4000, (1.0, 1.0), rng).same.mean()
    sizes = np.bincount(LABELS)
    expected = (sizes * (sizes - 1)).sum() / (len(LABELS) * (len(LABELS) - 1))
    assert unfiltered == pytest.approx(expected, abs=0.03)


class CountedRandom(np.random.Generator):
    """A generator that counts the random orders that are drawn."""

    orders = 0

    def permutation(self, x: Any, axis: int = 0) -> Any:
        self.orders += 1
        return super().permutation(x, axis)


@pytest.mark.parametrize(("count", "rounds"), [(1, 1), (len(LABELS) // 2, 1), (len(LABELS) + 1, 2)])
def test_sampling_stops_as_soon_as_there_are_enough_pairs(count: int, rounds: int) -> None:
    rng = CountedRandom(np.random.PCG64(3))
    pairs = sample_pairs(LABELS, count, (1.0, 1.0), rng)
    assert len(pairs.same) == count
    assert rng.orders == 2 * rounds


def test_the_first_pairs_do_not_depend_on_the_number_of_pairs() -> None:
    few, many = (sample_pairs(LABELS, count, (1.0, 0.5), np.random.default_rng(4)) for count in (5, 300))
    for left, right in zip(few, many, strict=True):
        np.testing.assert_array_equal(left, right[:5])


@pytest.mark.parametrize(
    ("labels", "kept"),
    [([0, 1, 2], (1.0, 0.0)), ([0, 0, 0], (0.0, 1.0)), ([0], (1.0, 1.0)), ([0, 0, 1], (0.0, 0.0))],
)
def test_a_set_without_a_pair_of_a_kept_kind_is_an_error(
    labels: list[int], kept: tuple[float, float]
) -> None:
    with pytest.raises(ValueError, match="no pair of a kind that is kept"):
        sample_pairs(np.array(labels), 4, kept, np.random.default_rng(0))


def test_a_batch_of_pairs_has_both_sides_and_both_people() -> None:
    config = config_with(objective="siamese", pairs_per_epoch=40)
    batches = batches_of(EmbeddingBatches(faces(), config), 1)
    assert len(batches) == 5
    for (left, right), labels in batches:
        a, b = numbers(left), numbers(right)
        assert (a != b).all()
        np.testing.assert_array_equal(labels[:, PairLabel.SAME], LABELS[a] == LABELS[b])
        np.testing.assert_array_equal(labels[:, PairLabel.LEFT_PERSON], LABELS[a])
        np.testing.assert_array_equal(labels[:, PairLabel.RIGHT_PERSON], LABELS[b])
        assert labels.shape == (8, 3)
