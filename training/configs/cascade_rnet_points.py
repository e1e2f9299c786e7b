r"""R-Net with a head for five points, as the tutorial draws it, on WIDER FACE and MTFL. Not shipped.

    python -m training.mine_candidates --data DATA --portraits --out cache/rnet-points.npz
    python -m training.train cascade_rnet_points --data DATA --candidates cache/rnet-points.npz

The points are one more task of training. The service takes those of O-Net.
"""

import keras

from training.config.schema import SampleShares
from training.configs import cascade_rnet_scratch
from training.models.cascade import rnet

CONFIG = cascade_rnet_scratch.CONFIG.model_copy(
    update={
        "name": "cascade_rnet_points",
        "points_weight": 0.5,
        "sample_shares": SampleShares(portraits=0.25),
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return rnet(points=True)
