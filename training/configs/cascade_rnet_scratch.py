"""R-Net of the cascade from random weights, behind MTCNN's published P-Net, on WIDER FACE. Not shipped.

    python -m training.mine_candidates --data DATA --out cache/rnet.npz
    python -m training.train cascade_rnet_scratch --data DATA --candidates cache/rnet.npz

Results: docs/experiments/own-cascade.md.
"""

import keras

from training.config.schema import SampleShares, StageConfig
from training.configs import cascade_pnet
from training.models.cascade import rnet

CONFIG = StageConfig(
    name="cascade_rnet_scratch",
    stage="rnet",
    size=24,
    crop_scale=1.3,
    sample_shares=SampleShares(faces=0.2, near_faces=0.3),
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
    """Return the untrained net."""
    return rnet()
