"""SFace, from its published weights, on people of your own by triplets with semi-hard negatives. Not shipped.

    python -m training.prepare identities --source folders:PEOPLE --span 112 --out cache/people-112
    python -m training.train sface_triplet --data cache/people-112

The rate is low, so that the net keeps what it knows of other people. Validation EER: 0.015
(`training/records/sface_triplet`). Results: docs/experiments/own-people.md.
"""

import keras

from training.configs import softmax
from training.models.sface import EMBEDDING, INPUT_SIZE, sface

CONFIG = softmax.CONFIG.model_copy(
    update={
        "name": "sface_triplet",
        "objective": "triplet",
        "size": INPUT_SIZE,
        "dimension": EMBEDDING,
        "start_from": "imported",
        "people_per_batch": 16,
        "images_per_person": 4,
        "batch": 64,
        "epochs": 2,
        "learning_rate": 3e-5,
        "final_learning_rate": 1e-6,
        "warmup_epochs": 0.3,
        "weight_decay": 0.0,
        "validate_every": 1,
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return sface()
