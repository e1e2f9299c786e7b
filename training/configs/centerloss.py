"""Softmax with center loss, on the same net and faces as `softmax`, from random weights."""

import keras

from training.configs import softmax

CONFIG = softmax.CONFIG.model_copy(update={"name": "centerloss", "center_weight": 0.01, "center_alpha": 0.5})


def build() -> keras.Model:
    """The net, untrained."""
    return softmax.build()
