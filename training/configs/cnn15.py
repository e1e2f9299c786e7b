"""The first TensorFlow tutorial's 15-point CNN, on Kaggle's complete rows.

    python -m training.data.prepare --data DATA --source kaggle15 --crop picture --complete \\
        --validation 100 --out cache/cnn15
    python -m training.train cnn15 --data cache/cnn15

As in the tutorial, but for two things: pictures are mirrored, turned, moved and relit, and the learning rate
falls. `cnn15_plain` does neither.

Measured on 2026-11-21: RMSE 3.26 pixels on the 100 validation rows that chose the weights, where the mean
face has 3.98, and `cnn15_plain` had 3.97 after 29 epochs. The shipped run was taken up at epoch 55 with
`--epochs 74` and ended at 66, so its rate fell faster from there on than here: `training/records/cnn15`.
"""

import keras

from training.config import Augmentation
from training.configs import cnn15_plain
from training.models.cnn15 import cnn15

AUGMENT = Augmentation(
    flip_share=0.5,
    rotate=8,
    scale=0.12,
    shift=0.04,
    stretch=0.06,
    edge_share=1.0,
    edge=0.03,
    light_share=0.5,
    brightness=0.1,
    contrast=0.4,
    gamma=0.4,
    blur_share=0.1,
    blur=1.0,
)
CONFIG = cnn15_plain.CONFIG.model_copy(
    update={"name": "cnn15", "final_learning_rate": 1e-5, "patience": 0, "augment": AUGMENT}
)


def build() -> keras.Model:
    """The net, untrained."""
    return cnn15()
