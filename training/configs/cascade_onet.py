"""The cascade's O-Net, on WIDER's photographs and MTFL's points, after `cascade_pnet` and `cascade_rnet`.

    python -m training.propose --data DATA --run runs/cascade_pnet --run runs/cascade_rnet \\
        --out cache/onet.npz
    python -m training.train_cascade cascade_onet --data DATA --candidates cache/onet.npz
"""

import keras

from training.cascade_config import Kinds, StageConfig
from training.configs import cascade_pnet
from training.models.cascade import onet

CONFIG = StageConfig(
    name="cascade_onet",
    stage="onet",
    size=64,
    crop=1.4,
    kinds=Kinds(faces=0.15, near=0.25, points=0.25),
    points_weight=1.0,
    epochs=12,
    steps=160,
    batch=192,
    learning_rate=2e-3,
    final_learning_rate=1e-5,
    warmup_epochs=0.5,
    weight_decay=0.05,
    ema=0.99,
    augment=cascade_pnet.CONFIG.augment.model_copy(
        update={
            "shift": 0.06,
            "scale": 0.12,
            "rotate": 15,
            "shrink_share": 0.2,
            "shrink": 0.3,
            "occlude_share": 0.15,
            "occlude": 0.4,
        }
    ),
)


def build() -> keras.Model:
    """The net, untrained."""
    return onet()
