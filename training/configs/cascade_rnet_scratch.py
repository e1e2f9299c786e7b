"""An R-Net of our own from random weights, behind MTCNN's published P-Net. Not shipped.

    python -m training.propose --data DATA --out cache/rnet.npz
    python -m training.train cascade_rnet_scratch --data DATA --candidates cache/rnet.npz

What came of it stands in docs/decisions/0021-cascade.md.
"""

import keras

from training.cascade_config import Kinds, StageConfig
from training.configs import cascade_pnet
from training.models.cascade import rnet

CONFIG = StageConfig(
    name="cascade_rnet_scratch",
    stage="rnet",
    size=24,
    crop=1.3,
    kinds=Kinds(faces=0.2, near=0.3),
    epochs=10,
    steps=150,
    batch=256,
    learning_rate=3e-3,
    final_learning_rate=1e-5,
    warmup_epochs=0.5,
    weight_decay=0.02,
    ema=0.99,
    augment=cascade_pnet.CONFIG.augment.model_copy(update={"shift": 0.08, "scale": 0.15, "rotate": 6}),
)


def build() -> keras.Model:
    """The net, untrained."""
    return rnet()
