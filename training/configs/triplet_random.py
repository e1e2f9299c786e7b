"""Triplets from random weights with any strangers: a short run, to set the choices side by side.

    python -m training.train triplet_random --data cache/people

What came of it stands in docs/recognition.md.
"""

import keras

from training.configs import triplet_scratch

CONFIG = triplet_scratch.CONFIG.model_copy(update={"name": "triplet_random", "mining": "random"})


def build() -> keras.Model:
    """The net, untrained."""
    return triplet_scratch.build()
