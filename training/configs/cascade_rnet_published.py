"""MTCNN's R-Net from random weights, for comparison with `cascade_rnet_imported`. Not shipped.

python -m training.train_cascade cascade_rnet_published --data DATA --candidates cache/rnet.npz
"""

import keras

from training.configs import cascade_rnet
from training.models.mtcnn_tuned import tuned

CONFIG = cascade_rnet.CONFIG.model_copy(update={"name": "cascade_rnet_published", "crop": 0.96, "epochs": 5})


def build() -> keras.Model:
    """The net, untrained."""
    return tuned("rnet")
