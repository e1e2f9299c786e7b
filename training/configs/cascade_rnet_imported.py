"""MTCNN's published R-Net, trained on: what its beginning is worth, beside `cascade_rnet`. Not shipped.

python -m training.train_cascade cascade_rnet_imported --data DATA --candidates cache/rnet.npz
"""

import keras

from training.configs import cascade_rnet
from training.models.mtcnn_tuned import tuned

CONFIG = cascade_rnet.CONFIG.model_copy(
    update={
        "name": "cascade_rnet_imported",
        "start_from": "imported",
        "crop": 0.96,
        "learning_rate": 5e-4,
        "epochs": 5,
    }
)


def build() -> keras.Model:
    """The net, untrained."""
    return tuned("rnet")
