"""The 68-point CNN of Yin Guobing's tutorial as its table is printed: stride 1 in pool3. Not shipped.

    python -m training.prepare landmarks --data DATA --out cache/300w
    python -m training.train cnn68_stride1 --data cache/300w
    python -m training.evaluate landmarks --data DATA --run runs/cnn68_stride1

Its 76.5 million weights are ten times those of `cnn68`, so its file is too large for the repository.
Validation NME: 6.93% (`training/records/cnn68_stride1`). Comparison with `cnn68`:
docs/experiments/landmark-nets.md.
"""

import keras

from training.configs import cnn68
from training.models import cnn68 as net

CONFIG = cnn68.CONFIG.model_copy(
    update={"name": "cnn68_stride1", "epochs": 8, "ema": 0.99, "validate_every": 2}
)


def build() -> keras.Model:
    """Return the untrained net."""
    return net.cnn68(pool3_stride=1)
