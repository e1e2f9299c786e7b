"""Triplet loss with random negatives, from random weights: a short run for a comparison. Not shipped.

    python -m training.train triplet_random --data cache/people

Comparison with `triplet_scratch` and `triplet_hardest`: docs/experiments/recognition-studies.md.
"""

import keras

from training.configs import triplet_scratch

CONFIG = triplet_scratch.CONFIG.model_copy(update={"name": "triplet_random", "mining": "random"})


def build() -> keras.Model:
    """Return the untrained net."""
    return triplet_scratch.build()
