"""The Siamese network with the tutorial's recipe, at 64 px, to compare with `siamese`. Not shipped.

    python -m training.train siamese_plain --data cache/people --precision mixed_bfloat16

It starts from random weights. Of two shuffled sequences it keeps a share of 0.95 of the genuine pairs and of
0.001 of the impostor pairs, and learns their cross-entropy. The penalty of the convolutions is 0.1.
Comparison: docs/experiments/recognition-studies.md.
"""

import keras

from training.configs import siamese
from training.models.siamese import branch

L2 = 0.1
"""Weight of the L2 penalty of the convolutions."""

CONFIG = siamese.CONFIG.model_copy(
    update={
        "name": "siamese_plain",
        "size": 64,
        "start_from": "",
        "pair_loss": "cross_entropy",
        "same_prob": 0.95,
        "diff_prob": 0.001,
        "epochs": 20,
    }
)


def build() -> keras.Model:
    """Return the untrained branch."""
    return branch(CONFIG.size, CONFIG.dimension, L2)
