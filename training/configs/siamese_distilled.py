r"""The branch of the Siamese network, which learns bits of the vectors of SFace.

    python -m training.prepare identities --source folders:DATA/identities/celeba \
        --source folders:DATA/identities/vggface2 --validation 30 --out cache/people
    python -m training.prepare distillation --data DATA --beside cache/people --out cache/distillation
    python -m training.train siamese_distilled --data cache/distillation

It starts from random weights, and is not trained yet. `siamese` will start from it, as `triplet` does from
`distilled`: docs/experiments/recognition-studies.md#a-branch-that-learns-sfaces-vectors.
"""

import keras

from training.configs import distilled
from training.models.siamese import BRANCH, branch

CONFIG = distilled.CONFIG.model_copy(
    update={
        "name": "siamese_distilled",
        "size": 64,
        "dimension": BRANCH,
        "epochs": 10,
        "learning_rate": 2e-3,
        "weight_decay": 0.01,
        "validate_every": 1,
    }
)


def build() -> keras.Model:
    """Return the untrained branch."""
    return branch(CONFIG.size, CONFIG.dimension)
