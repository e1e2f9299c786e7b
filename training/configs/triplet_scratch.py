"""Triplets from random weights with semi-hard negatives: a short run, to set the choices side by side.

    python -m training.train triplet_scratch --data cache/people

What came of it stands in docs/recognition.md.
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
    """The net, untrained."""
    return triplet.build()
