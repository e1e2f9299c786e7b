"""Triplet loss with semi-hard negatives, from random weights: a short run for a comparison. Not shipped.

    python -m training.train triplet_scratch --data cache/people

Comparison with `triplet_hardest` and `triplet_random`: docs/experiments/recognition-studies.md.
"""

import keras

from training.configs import triplet

CONFIG = triplet.CONFIG.model_copy(
    update={
        "name": "triplet_scratch",
        "start_from": "",
        "learning_rate": 2e-3,
        "epochs": 5,
        "validate_every": 1,
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return triplet.build()
