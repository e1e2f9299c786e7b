"""The cascade's R-Net: MTCNN's published one, trained on with WIDER's photographs.

python -m training.propose --data DATA --out cache/rnet.npz
python -m training.train cascade_rnet --data DATA --candidates cache/rnet.npz
"""

import keras

from training.configs import cascade_rnet_scratch
from training.models.mtcnn_tuned import tuned

CONFIG = cascade_rnet_scratch.CONFIG.model_copy(
    update={
        "name": "cascade_rnet",
        "start_from": "imported",
        "crop": 0.96,
        "learning_rate": 3e-4,
        "weight_decay": 1e-4,
        "epochs": 5,
    }
)


def build() -> keras.Model:
    """The net, untrained."""
    return tuned("rnet")
