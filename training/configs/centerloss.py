"""Softmax with center loss on faces of known people, from the weights of `distilled`.

    python -m training.train distilled --data cache/distillation --precision mixed_bfloat16
    python -m training.train centerloss --data cache/people --precision mixed_bfloat16

The docstring of `distilled` has the commands that write the data. The comparison of center loss with softmax
alone, from random weights, is in docs/experiments/recognition-studies.md.
Validation EER: 0.156 (`training/records/centerloss`).
"""

import keras

from training.configs import distilled, softmax

CONFIG = softmax.CONFIG.model_copy(
    update={
        "name": "centerloss",
        "size": distilled.CONFIG.size,
        "start_from": "distilled",
        "center_weight": 0.003,
        "center_alpha": 0.5,
        "epochs": 10,
        "learning_rate": 5e-4,
        "validate_every": 1,
        "augment": distilled.CONFIG.augment,
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return distilled.build()
