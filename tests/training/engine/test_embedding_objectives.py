"""Objectives around a small net: what they train, what is kept, and how two images are compared."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.training.batches import batches_of
from tests.training.identity_sets import CONFIG, METRIC, VARIANTS, config_with, tiny, write_prepared
from tests.training.learning import gradients, share_left
from training.config.registry import BEST_WEIGHTS, RunError
from training.data.batches.embeddings import EmbeddingBatches
from training.data.storage import identity_crops
from training.data.storage.identity_crops import IdentityCrops
from training.engine import checkpoints, embedding_objectives
from training.models.small_face import small_face


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> IdentityCrops:
    return identity_crops.load(write_prepared(tmp_path_factory.mktemp("people")) / "train.tfrecord")


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: "-".join(map(str, changes.values())))
def test_every_weight_gets_a_gradient_and_a_few_steps_lower_the_loss(
    changes: dict[str, Any], faces: IdentityCrops, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    config = config_with(changes)
    objective = embedding_objectives.build(tiny(), config, 10)
    inputs, labels = batches_of(EmbeddingBatches(faces, config), 0)[0]
    sizes = gradients(objective.model, objective.loss, inputs, labels)
    # A shift of all features leaves the difference of two vectors as it is.
    shift = {"features/beta"} if config.objective == "siamese" else set()
    assert {path for path, size in sizes.items() if size < 1e-6} == shift
    assert share_left(objective.model, objective.loss, inputs, labels, steps=5, rate=1e-2) < 0.92
    assert [metric.__name__ for metric in objective.metrics] == [METRIC[config.objective]]
    checkpoints.save_weights(tmp_path / BEST_WEIGHTS, objective.product)
    again = embedding_objectives.build(tiny(), config, 10)
    again.product.load_weights(tmp_path / BEST_WEIGHTS)
    for ours, theirs in zip(objective.product.get_weights(), again.product.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sigmoids_learn_bits_whose_distance_is_the_angle_between_the_teachers_vectors() -> None:
    keras.utils.set_random_seed(0)
    vectors = np.random.default_rng(1).normal(size=(60, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    given = keras.Input((16,))
    net = keras.Model(given, keras.layers.Dense(512, activation="sigmoid")(given))
    config = CONFIG.model_copy(update={"objective": "distillation", "dimension": 512})
    objective = embedding_objectives.build(net, config, 10, teacher=16)
    assert objective.product is objective.embed is net

    def error() -> float:
        """Return the mean difference between distances of bits and angles, in shares of 180 degrees."""
        codes = net.predict(vectors, verbose=0)
        distances = np.abs(codes[:, None] - codes[None]).mean(axis=2)
        return float(np.abs(distances - np.arccos(np.clip(vectors @ vectors.T, -1, 1)) / np.pi).mean())

    before = error()
    assert share_left(objective.model, objective.loss, vectors, vectors, steps=200, rate=0.1) < 0.5
    assert before > 0.2
    assert error() < 0.05
    (right,) = objective.metrics
    assert float(right(vectors, net.predict(vectors, verbose=0))) > 0.95


def test_only_sigmoids_can_learn_vectors_of_another_length() -> None:
    config = config_with({"objective": "distillation"})
    with pytest.raises(RunError, match="End its net with sigmoids"):
        embedding_objectives.build(tiny(), config, 10, teacher=config.dimension + 3)


def test_an_image_is_most_similar_to_itself() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    objective = embedding_objectives.build(small_face(16, 8), CONFIG, 3)
    left, right = np.arange(4), np.array([0, 1, 2, 0])
    scores = embedding_objectives.similarities(objective, images, left, right, 2)
    np.testing.assert_allclose(scores[:3], 1, atol=1e-5)
    assert scores[3] < 0.999


def test_an_embedding_averages_the_mirrored_image_but_not_that_of_a_siamese_branch() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    for objective_name, flips in (("softmax", True), ("siamese", False)):
        objective = embedding_objectives.build(tiny(), config_with({"objective": objective_name}), 3)
        vectors = embedding_objectives.embed(objective, images, 2)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
        mirrored = embedding_objectives.embed(objective, images[:, :, ::-1], 2)
        assert np.allclose(vectors, mirrored, atol=1e-5) is flips
