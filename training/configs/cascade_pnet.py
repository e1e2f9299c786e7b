"""P-Net of the cascade from random weights, on WIDER FACE. Not shipped.

    python -m training.train cascade_pnet --data DATA

Results: docs/experiments/own-cascade.md.
"""

import keras

from training.config.schema import Augmentation, StageConfig
from training.models.cascade import pnet

CONFIG = StageConfig(
    name="cascade_pnet",
    stage="pnet",
    size=16,
    face_size=12,
    tile_size=96,
    ohem_fraction=1.0,
    negatives_per_positive=4,
    epochs=7,
    steps=120,
    batch=48,
    learning_rate=4e-3,
    final_learning_rate=1e-5,
    warmup_epochs=0.5,
    weight_decay=1e-4,
    ema=0.99,
    augment=Augmentation(
        flip_share=0.5,
        light_share=0.6,
        brightness=0.1,
        contrast=0.4,
        gamma=0.4,
        colour=0.12,
        grey_share=0.1,
        blur_share=0.1,
        blur=0.8,
        noise_share=0.1,
        noise=0.03,
        jpeg_share=0.1,
        jpeg=40,
    ),
)


def build() -> keras.Model:
    """Return the untrained net."""
    return pnet()
