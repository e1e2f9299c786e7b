"""The tutorial's Siamese network, on pairs, from the weights of `siamese_softmax`."""

import keras

from training.configs import softmax
from training.models.siamese import BRANCH, branch

CONFIG = softmax.CONFIG.model_copy(
    update={
        "name": "siamese",
        "system": "siamese",
        "size": 32,
        "dimension": BRANCH,
        "pairs": 1920,
        "pair_loss": "crossed",
        "batch": 48,
        "start_from": "siamese_softmax",
        "epochs": 7,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "ema": 0.97,
    }
)


def build() -> keras.Model:
    """The branch, untrained."""
    return branch(CONFIG.size, CONFIG.dimension)
