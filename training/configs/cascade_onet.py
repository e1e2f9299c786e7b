"""The cascade's O-Net: MTCNN's published one, trained on with WIDER's photographs and MTFL's points.

python -m training.propose --data DATA --refined --out cache/onet.npz
python -m training.train cascade_onet --data DATA --candidates cache/onet.npz
"""

import keras

from training.cascade_config import Kinds
from training.configs import cascade_onet_scratch
from training.models.mtcnn_tuned import tuned

CONFIG = cascade_onet_scratch.CONFIG.model_copy(
    update={
        "name": "cascade_onet",
        "start_from": "imported",
        "size": 48,
        "crop": 0.96,
        "kinds": Kinds(faces=0.15, near=0.25, points=0.25),
        "points_weight": 1.0,
        "learning_rate": 3e-4,
        "weight_decay": 1e-4,
        "epochs": 8,
        "augment": cascade_onet_scratch.CONFIG.augment.model_copy(update={"rotate": 15}),
    }
)


def build() -> keras.Model:
    """The net, untrained."""
    return tuned("onet")
