r"""Learns the vectors of SFace on faces with and without names; `centerloss` and `triplet` start from it.

    python -m training.prepare identities --source folders:DATA/identities/celeba \
        --source folders:DATA/identities/vggface2 --validation 30 --out cache/people
    python -m training.prepare distillation --data DATA --beside cache/people --out cache/distillation
    python -m training.train distilled --data cache/distillation --precision mixed_bfloat16

It starts from random weights. Its labels are vectors, so that 224 people with names are not its only faces.
Validation EER: 0.177 (`training/records/distilled`).
"""

import keras

from training.configs import softmax
from training.models.small_face import LARGE, small_face

CONFIG = softmax.CONFIG.model_copy(
    update={
        "name": "distilled",
        "objective": "distillation",
        "size": 80,
        "epochs": 40,
        "batch": 128,
        "augment": softmax.AUGMENT.model_copy(
            update={"shrink_share": 0.3, "shrink": 0.4, "noise_share": 0.1, "noise": 0.03, "rotate": 8.0}
        ),
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return small_face(CONFIG.size, CONFIG.dimension, stages=LARGE)
