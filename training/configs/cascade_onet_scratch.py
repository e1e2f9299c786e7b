r"""O-Net of the cascade from random weights, on WIDER FACE, MTFL and pseudo-labelled faces. Not shipped.

    python -m training.mine_candidates --data DATA --model cascade --portraits --faces cache/pseudo-labels \
        --out cache/onet.npz
    python -m training.train cascade_onet_scratch --data DATA --candidates cache/onet.npz \
        --faces cache/pseudo-labels

`training.prepare pseudo-labels` writes cache/pseudo-labels, which includes the faces of 300-W. Results:
docs/experiments/yunet-as-p-net.md.
"""

import keras

from training.config.schema import SampleShares, StageConfig
from training.configs import cascade_pnet
from training.models.cascade import onet

CONFIG = StageConfig(
    name="cascade_onet_scratch",
    stage="onet",
    size=64,
    crop_scale=1.4,
    sample_shares=SampleShares(faces=0.15, near_faces=0.25, portraits=0.35),
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
    """Return the untrained net."""
    return onet()
