"""Triplets from random weights with the nearest strangers: a short run, to set the choices side by side.

    python -m training.train triplet_hardest --data cache/people

What came of it stands in docs/recognition.md.
"""

import keras

from training.configs import triplet_scratch

CONFIG = triplet_scratch.CONFIG.model_copy(update={"name": "triplet_hardest", "mining": "hardest"})


def build() -> keras.Model:
    """The net, untrained."""
    return triplet_scratch.build()
