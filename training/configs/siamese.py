"""The Siamese network of the tutorial on pairs, from the weights of `siamese_softmax`.

    python -m training.train siamese_softmax --data cache/people
    python -m training.train siamese --data cache/people

Validation EER: 0.226 (`training/records/siamese`).
"""

import keras

from training.configs import softmax
from training.models.siamese import BRANCH, branch

CONFIG = softmax.CONFIG.model_copy(
    update={
        "name": "siamese",
        "objective": "siamese",
        "size": 32,
        "dimension": BRANCH,
        "pairs_per_epoch": 1920,
        "pair_loss": "all_pairs",
        "batch": 48,
        "start_from": "siamese_softmax",
        "epochs": 7,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "ema": 0.97,
    }
)


def build() -> keras.Model:
    """Return the untrained branch."""
    return branch(CONFIG.size, CONFIG.dimension)
