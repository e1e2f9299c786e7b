"""The last part of `landmarks68`'s training: more faces, labelled by the net itself.

python -m training.data.prepare --data DATA --out cache/300w
python -m training.train landmarks68_strong --data cache/300w
python -m training.train landmarks68 --data cache/300w
python -m training.make_models --only landmarks68
python -m training.data.taught --data DATA --beside cache/300w --out cache/taught
python -m training.train landmarks68_taught --data cache/taught
"""

import keras

from training.configs import landmarks68
from training.models.landmarks68 import landmark_net

CONFIG = landmarks68.CONFIG.model_copy(
    update={
        "name": "landmarks68_taught",
        "start_from": "landmarks68",
        "epochs": 6,
        "learning_rate": 7e-4,
        "warmup_epochs": 0.5,
        "validate_every": 1,
    }
)


def build() -> keras.Model:
    """The net, untrained."""
    return landmark_net(68, "landmarks68_taught")
