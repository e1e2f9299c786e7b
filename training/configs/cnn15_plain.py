"""The first TensorFlow tutorial's recipe for 15 points to the letter: what `cnn15` is compared with.

    python -m training.train cnn15_plain --data cache/cnn15

on what is prepared for `cnn15`. Its net is not served.
"""

import keras

from training.config import TrainConfig
from training.models.cnn15 import cnn15

CONFIG = TrainConfig(
    name="cnn15_plain",
    size=96,
    template="kaggle15",
    scheme="kaggle15",
    loss="root_mean_squared",
    epochs=100,
    batch=64,
    learning_rate=1e-3,
    final_learning_rate=1e-3,
    choose_by="validation_rmse",
    patience=10,
)


def build() -> keras.Model:
    """The net, untrained."""
    return cnn15()
