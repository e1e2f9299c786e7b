"""The Siamese network's branch, told people apart by softmax first: where `siamese` begins.

    python -m training.train siamese_softmax --data cache/people

Pairs alone teach a branch slowly: docs/decisions/0016-three-systems.md has the figures.
"""

import keras

from training.configs import softmax
from training.models.siamese import BRANCH, branch

CONFIG = softmax.CONFIG.model_copy(
    update={
        "name": "siamese_softmax",
        "size": 32,
        "dimension": BRANCH,
        "epochs": 5,
        "learning_rate": 2e-3,
        "warmup_epochs": 0.5,
        "weight_decay": 0.01,
        "ema": 0.98,
        "validate_every": 1,
    }
)


def build() -> keras.Model:
    """The branch, untrained."""
    return branch(CONFIG.size, CONFIG.dimension)
