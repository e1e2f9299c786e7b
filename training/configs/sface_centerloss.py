"""SFace, from its published weights, on people of your own by softmax with center loss. Not shipped.

    python -m training.prepare identities --source folders:PEOPLE --span 112 --out cache/people-112
    python -m training.train sface_centerloss --data cache/people-112

The rate is low, so that the net keeps what it knows of other people. Validation EER: 0.017
(`training/records/sface_centerloss`). Results: docs/experiments/own-people.md.
"""

import keras

from training.configs import sface_triplet

CONFIG = sface_triplet.CONFIG.model_copy(
    update={
        "name": "sface_centerloss",
        "objective": "softmax",
        "center_weight": 0.003,
        "people_per_batch": 0,
        "images_per_person": 0,
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return sface_triplet.build()
