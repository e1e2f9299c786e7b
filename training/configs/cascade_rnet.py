"""R-Net of the cascade: MTCNN's published weights, trained further on WIDER FACE. Not shipped.

    python -m training.mine_candidates --data DATA --out cache/rnet.npz
    python -m training.train cascade_rnet --data DATA --candidates cache/rnet.npz

Results: docs/experiments/own-cascade.md.
"""

import keras

from training.configs import cascade_rnet_scratch
from training.models.mtcnn_trainable import trainable

CONFIG = cascade_rnet_scratch.CONFIG.model_copy(
    update={
        "name": "cascade_rnet",
        "start_from": "imported",
        "crop_scale": 0.96,
        "learning_rate": 3e-4,
        "weight_decay": 1e-4,
        "epochs": 5,
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return trainable("rnet")
