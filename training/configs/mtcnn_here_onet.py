r"""O-Net of the detector `mtcnn_here` from random weights, on WIDER FACE, MTFL and 300-W.

    python -m training.mine_candidates --data DATA --faces cache/300w \
        --run runs/mtcnn_here_pnet --run runs/mtcnn_here_rnet --out cache/onet.npz
    python -m training.train mtcnn_here_onet --data DATA --candidates cache/onet.npz --faces cache/300w \
        --precision mixed_bfloat16

`training.prepare landmarks` writes cache/300w. With the folder of `training.prepare pseudo-labels` in its
place, faces labelled by a landmark net are added. Results: docs/experiments/own-cascade.md.
"""

import keras

from training.configs import cascade_onet_scratch
from training.models.cascade import onet

CONFIG = cascade_onet_scratch.CONFIG.model_copy(
    update={
        "name": "mtcnn_here_onet",
        "epochs": 32,
        "steps": 560,
        "augment": cascade_onet_scratch.CONFIG.augment.model_copy(
            update={"shift": 0.15, "scale": 0.3, "edge_share": 0.5}
        ),
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return onet()
