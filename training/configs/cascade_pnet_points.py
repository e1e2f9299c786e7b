"""P-Net with a head for five points, as the tutorial draws it, on WIDER FACE and MTFL. Not shipped.

    python -m training.train cascade_pnet_points --data DATA

The points are one more task of training. The service takes those of O-Net.
"""

import keras

from training.config.schema import SampleShares
from training.configs import cascade_pnet
from training.models.cascade import pnet

CONFIG = cascade_pnet.CONFIG.model_copy(
    update={
        "name": "cascade_pnet_points",
        "points_weight": 0.5,
        "sample_shares": SampleShares(portraits=0.25),
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return pnet(points=True)
