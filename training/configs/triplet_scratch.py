"""Triplet loss with semi-hard negatives, from random weights: a short run for a comparison. Not shipped.

    python -m training.train triplet_scratch --data cache/people

Comparison with `triplet_hardest` and `triplet_random`: docs/experiments/recognition-studies.md.
"""

import keras

from training.configs import softmax

CONFIG = softmax.CONFIG.model_copy(
    update={
        "name": "triplet_scratch",
        "objective": "triplet",
        "people_per_batch": 32,
        "images_per_person": 4,
        "batch": 128,
        "learning_rate": 2e-3,
        "epochs": 5,
        "validate_every": 1,
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return softmax.build()
