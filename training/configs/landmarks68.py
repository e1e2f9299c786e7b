"""The default 68 points: a residual U-net with heatmaps read by their centre of mass, on 300-W.

    python -m training.data.prepare --data DATA --out cache/300w
    python -m training.train landmarks68_strong --data cache/300w
    python -m training.train landmarks68 --data cache/300w
    python -m training.evaluate landmarks --data DATA --run runs/landmarks68

The first run's augmentation goes far beyond what the detector's points leave to chance, and the net spends
itself on it: its error on training faces without augmentation was hardly below that on validation. This
second run goes on from its weights with less of it. The shipped one was stopped after 34 of its 40 epochs,
when the learning rate was as good as nothing.

Its error on validation is 4.20% (`training/records/landmarks68`), after about 45 seconds an epoch on two
shared cores of an Intel Xeon at 2.50 GHz. Its errors on the test set are in `models/README.md`, which the
evaluation writes.
"""

import keras

from training.configs import landmarks68_strong
from training.models.landmarks68 import landmark_net

CONFIG = landmarks68_strong.CONFIG.model_copy(
    update={
        "name": "landmarks68",
        "start_from": "landmarks68_strong",
        "epochs": 40,
        "learning_rate": 1e-3,
        "warmup_epochs": 1,
        "augment": landmarks68_strong.CONFIG.augment.model_copy(
            update={
                "rotate": 7,
                "scale": 0.12,
                "shift": 0.03,
                "stretch": 0.07,
                "blur_share": 0.1,
                "shrink_share": 0.12,
                "noise_share": 0.1,
                "jpeg_share": 0.12,
                "occlude_share": 0.2,
                "occlude": 0.35,
            }
        ),
    }
)


def build() -> keras.Model:
    """The net, untrained."""
    return landmark_net(68, "landmarks68")
