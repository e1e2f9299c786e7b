"""The branch of the Siamese network as a softmax classifier, with whose weights `siamese` starts.

    python -m training.train siamese_softmax --data cache/people

The data are those of `softmax`. Training on pairs alone is slow: docs/experiments/recognition-studies.md.
Validation EER: 0.234 (`training/records/siamese_softmax`).
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
    """Return the untrained branch."""
    return branch(CONFIG.size, CONFIG.dimension)
