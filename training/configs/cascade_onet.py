"""O-Net of the cascade: MTCNN's published weights, trained further on WIDER FACE and MTFL. Not shipped.

    python -m training.mine_candidates --data DATA --refined --out cache/onet.npz
    python -m training.train cascade_onet --data DATA --candidates cache/onet.npz

Results: docs/experiments/own-cascade.md.
"""

import keras

from training.config.schema import SampleShares
from training.configs import cascade_onet_scratch
from training.models.mtcnn_trainable import trainable

CONFIG = cascade_onet_scratch.CONFIG.model_copy(
    update={
        "name": "cascade_onet",
        "start_from": "imported",
        "size": 48,
        "crop_scale": 0.96,
        "sample_shares": SampleShares(faces=0.15, near_faces=0.25, portraits=0.25),
        "points_weight": 1.0,
        "learning_rate": 3e-4,
        "weight_decay": 1e-4,
        "epochs": 8,
        "augment": cascade_onet_scratch.CONFIG.augment.model_copy(update={"rotate": 15}),
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return trainable("onet")
