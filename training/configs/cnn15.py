r"""The 15-point CNN of the first TensorFlow tutorial, on Kaggle's rows with all points.

    python -m training.prepare landmarks --data DATA --source kaggle15 --crop picture --complete \
        --validation 100 --out cache/cnn15
    python -m training.train cnn15 --data cache/cnn15

It differs from the tutorial in two ways: the images are augmented, and the learning rate decays.
`cnn15_plain` has neither.

Validation RMSE: 3.26 px (`training/records/cnn15`). The recorded run was resumed at epoch 55 with
`--epochs 74`, so from there on its learning rate decayed faster than with this configuration. Comparison with
`cnn15_plain`: docs/experiments/landmark-nets.md.
"""

import keras

from training.config.schema import Augmentation
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
    """Return the untrained net."""
    return cnn15()
