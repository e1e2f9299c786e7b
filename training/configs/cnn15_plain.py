"""The 15-point CNN of the first TensorFlow tutorial without any change, to compare with `cnn15`. Not shipped.

    python -m training.train cnn15_plain --data cache/cnn15

The data are those of `cnn15`. Comparison: docs/experiments/landmark-nets.md.
Validation RMSE: 2.63 px (`training/records/cnn15_plain`).
"""

import keras

from training.config.schema import LandmarkConfig
from training.models.cnn15 import cnn15

CONFIG = LandmarkConfig(
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
    """Return the untrained net."""
    return cnn15()
