"""Triplet loss with semi-hard negatives on faces of known people, from the weights of `distilled`.

    python -m training.train distilled --data cache/distillation --precision mixed_bfloat16
    python -m training.train triplet --data cache/people --precision mixed_bfloat16

The docstring of `distilled` has the commands that write the data. The comparison of ways to choose negatives,
from random weights, is in docs/experiments/recognition-studies.md.
Validation EER: 0.134 (`training/records/triplet`).
"""

import keras

from training.configs import distilled, softmax

CONFIG = softmax.CONFIG.model_copy(
    update={
        "name": "triplet",
        "size": distilled.CONFIG.size,
        "objective": "triplet",
        "start_from": "distilled",
        "people_per_batch": 32,
        "images_per_person": 4,
        "batch": 128,
        "epochs": 10,
        "learning_rate": 2e-4,
        "validate_every": 1,
        "augment": distilled.CONFIG.augment,
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return distilled.build()
