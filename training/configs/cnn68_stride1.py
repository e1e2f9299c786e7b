"""The first tutorial's 68-point CNN as its table is printed, pool3 with stride 1: 76.5 million weights.

    python -m training.data.prepare --data DATA --out cache/300w
    python -m training.train cnn68_stride1 --data cache/300w
    python -m training.evaluate landmarks --data DATA --run runs/cnn68_stride1

Not shipped: its file is ten times that of `cnn68` (stride 2), and over what the repository takes for one.
Its error on validation is 6.93% after as many seconds of training as `cnn68` had for its 4.60%
(`training/records`); docs/landmarks.md compares the two on the test set.
"""

import keras

from training.configs import cnn68
from training.models import cnn68 as net

CONFIG = cnn68.CONFIG.model_copy(
    update={"name": "cnn68_stride1", "epochs": 8, "ema": 0.99, "validate_every": 2}
)


def build() -> keras.Model:
    """The net, untrained."""
    return net.cnn68(pool3_stride=1)
