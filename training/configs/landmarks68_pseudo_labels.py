r"""`landmarks68_unet` trained further on 300-W and on faces that it labelled itself. Not shipped.

    python -m training.prepare landmarks --data DATA --out cache/300w
    python -m training.train landmarks68_strong --data cache/300w
    python -m training.train landmarks68_unet --data cache/300w
    python -m training.export runs/landmarks68_unet --name landmarks68_unet --models models
    python -m training.prepare pseudo-labels --data DATA --beside cache/300w --teacher landmarks68_unet \
        --out cache/pseudo-labels
    python -m training.train landmarks68_pseudo_labels --data cache/pseudo-labels

The run has not been completed: docs/experiments/landmark-nets.md.
"""

import keras

from training.configs import landmarks68_unet
from training.models.landmarks68 import landmark_net

CONFIG = landmarks68_unet.CONFIG.model_copy(
    update={
        "name": "landmarks68_pseudo_labels",
        "start_from": "landmarks68_unet",
        "epochs": 6,
        "learning_rate": 7e-4,
        "warmup_epochs": 0.5,
        "validate_every": 1,
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return landmark_net(68, "landmarks68_pseudo_labels")
