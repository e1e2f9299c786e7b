"""The 15 points: `landmarks68` mapped to Kaggle's points, fine-tuned on Kaggle's rows.

    python -m training.prepare landmarks --data DATA --source kaggle15 --out cache/kaggle15
    python -m training.train landmarks68 --data cache/300w
    python -m training.train landmarks15 --data cache/kaggle15

The loss leaves out missing labels. Validation RMSE: 1.58 px of the net's input
(`training/records/landmarks15`).
"""

import keras

from training.configs import landmarks68
from training.models.landmarks68 import fifteen_net, mesh_landmark_net

CONFIG = landmarks68.CONFIG.model_copy(
    update={
        "name": "landmarks15",
        "scheme": "kaggle15",
        "start_from": "landmarks68",
        "epochs": 6,
        "learning_rate": 2e-4,
        "warmup_epochs": 0.3,
        "validate_every": 1,
        "choose_by": "validation_rmse",
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return fifteen_net(mesh_landmark_net(68, "landmarks68"), "landmarks15")
