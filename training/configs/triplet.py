"""Triplet loss with semi-hard negatives, from the weights of `softmax`."""

import keras

from training.configs import softmax

CONFIG = softmax.CONFIG.model_copy(
    update={
        "name": "triplet",
        "system": "triplet",
        "start_from": "softmax",
        "people": 32,
        "pictures": 4,
        "batch": 128,
        "epochs": 10,
        "learning_rate": 5e-4,
    }
)


def build() -> keras.Model:
    """The net, untrained."""
    return softmax.build()
