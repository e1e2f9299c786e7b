"""68 points by a residual U-net whose heatmaps are read by their centre of mass, on 300-W. Not shipped.

    python -m training.prepare landmarks --data DATA --out cache/300w
    python -m training.train landmarks68_strong --data cache/300w
    python -m training.train landmarks68_unet --data cache/300w
    python -m training.evaluate landmarks --data DATA --run runs/landmarks68_unet

The run starts from the weights of `landmarks68_strong` and continues with less augmentation: the ranges of
the first run exceed the noise of the detector's points by far. The recorded run was stopped after 34 of its
40 epochs. Validation NME: 4.20% (`training/records/landmarks68_unet`). `landmarks68` replaced it. Other
attempts: docs/experiments/landmark-nets.md.
"""

import keras

from training.configs import landmarks68_strong
from training.models.landmarks68 import landmark_net

CONFIG = landmarks68_strong.CONFIG.model_copy(
    update={
        "name": "landmarks68_unet",
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
    """Return the untrained net."""
    return landmark_net(68, "landmarks68_unet")
