"""R-Net of the detector `mtcnn_here` from random weights, behind its P-Net, on WIDER FACE.

    python -m training.mine_candidates --data DATA --run runs/mtcnn_here_pnet --out cache/rnet.npz
    python -m training.train mtcnn_here_rnet --data DATA --candidates cache/rnet.npz

Results: docs/experiments/own-cascade.md.
"""

import keras

from training.configs import cascade_rnet_scratch
from training.models.cascade import rnet

CONFIG = cascade_rnet_scratch.CONFIG.model_copy(
    update={"name": "mtcnn_here_rnet", "epochs": 40, "steps": 600}
)


def build() -> keras.Model:
    """Return the untrained net."""
    return rnet()
