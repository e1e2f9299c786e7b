"""A prepared set of people of one hue each, and small embedding runs on it."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy import ndarray

from training.config.schema import EmbeddingConfig
from training.data.storage import tfrecord
from training.data.storage.crops import encode_png
from training.data.storage.data_hash import hash_tfrecords

CONFIG = EmbeddingConfig(
    name="softmax",
    objective="softmax",
    size=16,
    template="arcface",
    dimension=8,
    epochs=2,
    batch=16,
    learning_rate=2e-2,
    final_learning_rate=2e-3,
    ema=0.9,
    people_per_batch=8,
    images_per_person=2,
    pairs_per_epoch=64,
)
TRAINING_PEOPLE, VALIDATION_PEOPLE, IMAGES_PER_PERSON = 10, 6, 6

VARIANTS: list[dict[str, Any]] = [
    {"objective": "softmax"},
    {"objective": "softmax", "center_weight": 0.01},
    {"objective": "triplet", "mining": "hardest"},
    {"objective": "siamese"},
    {"objective": "siamese", "pair_loss": "contrastive"},
    {"objective": "siamese", "pair_loss": "all_pairs"},
    {"objective": "distillation"},
]
"""Changes of `CONFIG` for each objective."""

METRIC = {"softmax": "right", "triplet": "active", "siamese": "accuracy", "distillation": "cosine"}
"""The metric that is logged for each objective."""


def config_with(changes: dict[str, Any]) -> EmbeddingConfig:
    return EmbeddingConfig.model_validate(CONFIG.model_dump() | changes)


def tiny() -> keras.Model:
    """Return a net of one dense layer."""
    image = keras.Input((16, 16, 3))
    x = layers.Flatten()(layers.Rescaling(1 / 127.5, offset=-1)(image))
    return keras.Model(image, layers.BatchNormalization(name="features")(layers.Dense(8, use_bias=False)(x)))


class Tiny:
    """A run of a net small enough for tests."""

    CONFIG = CONFIG

    @staticmethod
    def build() -> keras.Model:
        return tiny()


def write_prepared(folder: Path) -> Path:
    """Write a set as `training.prepare identities` does; return its folder.

    Each person has one hue, in any light, with noise. The light outweighs the hue: a net that was not trained
    hardly separates people. The vector of a teacher is the hue of the person.
    """
    rng = np.random.default_rng(0)
    tfrecord.write(folder / "train.tfrecord", _records(TRAINING_PEOPLE, rng))
    tfrecord.write(folder / "validation.tfrecord", _records(VALIDATION_PEOPLE, rng))
    (folder / "prepare.json").write_text(
        json.dumps({"crop": {"span": 16}, "sha256": hash_tfrecords(folder), "sources": ["x"]})
    )
    return folder


def _records(people: int, rng: np.random.Generator) -> list[dict[str, bytes | ndarray]]:
    out: list[dict[str, bytes | ndarray]] = []
    for label, drawn in enumerate(rng.normal(0, 1, (people, 3))):
        hue = drawn - drawn.mean()
        colour = 128 + 25 * hue / np.linalg.norm(hue)
        vector = np.pad(hue / np.linalg.norm(hue), (0, CONFIG.dimension - 3)).astype(np.float32)
        for i in range(IMAGES_PER_PERSON):
            light = rng.uniform(-70, 70)
            image = np.clip(rng.normal(colour + light, 10, (20, 20, 3)), 0, 255).astype(np.uint8)
            numbers = {"label": label, "height": 20, "width": 20}
            record: dict[str, bytes | ndarray] = {
                "image": encode_png(image[:, :, ::-1]),
                "address": f"{label}/{i}".encode(),
                "vector": vector,
            }
            out.append(record | {name: np.array([value]) for name, value in numbers.items()})
    return out
