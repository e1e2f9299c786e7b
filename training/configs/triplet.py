"""Triplet loss with semi-hard negatives, from the weights of `softmax`.

    python -m training.train softmax --data cache/people
    python -m training.train triplet --data cache/people

Validation EER: 0.166 (`training/records/triplet`).
"""

import keras

from training.configs import softmax

CONFIG = softmax.CONFIG.model_copy(
    update={
        "name": "triplet",
        "objective": "triplet",
        "start_from": "softmax",
        "people_per_batch": 32,
        "images_per_person": 4,
        "batch": 128,
        "epochs": 10,
        "learning_rate": 5e-4,
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return softmax.build()
