"""Softmax with center loss, on the net and the faces of `softmax`, from its weights.

    python -m training.train softmax --data cache/people
    python -m training.train centerloss --data cache/people

Validation EER: 0.172 (`training/records/centerloss`). Training from random weights was tried too:
docs/experiments/recognition-studies.md.
"""

import keras

from training.configs import softmax

CONFIG = softmax.CONFIG.model_copy(
    update={
        "name": "centerloss",
        "start_from": "softmax",
        "center_weight": 0.003,
        "center_alpha": 0.5,
        "epochs": 10,
        "learning_rate": 1e-3,
        "warmup_epochs": 0.5,
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return softmax.build()
