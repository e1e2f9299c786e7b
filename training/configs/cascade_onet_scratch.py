"""An O-Net of our own from random weights, on WIDER's photographs, MTFL's points and 300-W's. Not shipped.

    python -m training.propose --data DATA --model cascade --portraits --out cache/onet.npz
    python -m training.train cascade_onet_scratch --data DATA --candidates cache/onet.npz \\
        --faces cache/taught

What came of it stands in docs/decisions/0022-yunet-for-p-net.md.
"""

import keras

from training.cascade_config import Kinds, StageConfig
from training.configs import cascade_pnet
from training.models.cascade import onet

CONFIG = StageConfig(
    name="cascade_onet_scratch",
    stage="onet",
    size=64,
    crop=1.4,
    kinds=Kinds(faces=0.15, near=0.25, points=0.35),
    points_weight=2.0,
    epochs=14,
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
            "rotate": 20,
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
