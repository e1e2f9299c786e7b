"""P-Net of the detector `mtcnn_here` from random weights, on WIDER FACE.

    python -m training.train mtcnn_here_pnet --data DATA

The recorded run was stopped after 22 of its 24 epochs. Results: docs/experiments/own-cascade.md.
"""

import keras

from training.configs import cascade_pnet
from training.models.cascade import pnet

CONFIG = cascade_pnet.CONFIG.model_copy(
    update={
        "name": "mtcnn_here_pnet",
        "size": 20,
        "negatives_per_positive": 60.0,
        "choose_by": "validation_false_positive_rate",
        "epochs": 24,
        "steps": 600,
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return pnet((16, 16, 16, 16, 32))
