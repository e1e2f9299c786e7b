"""Batches for landmark nets, and unit coordinates."""

import numpy as np
import pytest

from tests.training.batches import assert_depend_on_seed_and_epoch_alone, batches_of
from tests.training.landmark_sets import synthetic_faces
from training.config.registry import RunError
from training.config.schema import Augmentation, LandmarkConfig
from training.data.batches.landmarks import LandmarkBatches, from_unit, served_crops, to_unit

CONFIG = LandmarkConfig(
    name="tiny",
    size=32,
    template="face",
    scheme="ibug68",
    loss="mean_squared",
    epochs=1,
    batch=4,
    learning_rate=1e-3,
    final_learning_rate=1e-5,
    augment=Augmentation(flip_share=0.5, rotate=10, light_share=0.5, contrast=0.3, edge_share=0.5, edge=0.1),
)


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    faces = synthetic_faces(10, 0)
    batches = LandmarkBatches(faces, CONFIG)
    assert len(batches) == 2
    other = LandmarkBatches(faces, CONFIG.model_copy(update={"seed": 1}))
    assert_depend_on_seed_and_epoch_alone(batches, other)


def test_without_augmentation_a_batch_has_served_crops_each_once() -> None:
    faces = synthetic_faces(8, 0)
    plain = CONFIG.model_copy(update={"augment": Augmentation()})
    images, points = (
        np.concatenate(arrays) for arrays in zip(*batches_of(LandmarkBatches(faces, plain), 0), strict=True)
    )
    served, labels = served_crops(faces, CONFIG.size)
    order = [int(np.abs(labels - row).sum(axis=1).argmin()) for row in points]
    assert sorted(order) == list(range(8))
    np.testing.assert_allclose(points, labels[order], atol=1e-5)
    inside = (slice(None), slice(4, 28), slice(4, 28))
    assert np.abs(images[inside] - served[order][inside]).max() <= 1


def test_a_set_smaller_than_a_batch_is_an_error() -> None:
    with pytest.raises(RunError, match=r"has 3 faces, fewer than a batch of 4\. Give --set batch=3 or less"):
        LandmarkBatches(synthetic_faces(3, 0), CONFIG)


def test_unit_coordinates_are_those_of_the_served_net() -> None:
    corner = np.array([[[-0.5, 127.5]]], np.float32)
    np.testing.assert_allclose(to_unit(corner, 128), [[0, 1]])
    np.testing.assert_allclose(from_unit(to_unit(corner, 128), 128), corner)
