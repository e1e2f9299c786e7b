"""The first part of `landmarks68_unet`'s training: strong augmentation and a high learning rate.

    python -m training.prepare landmarks --data DATA --out cache/300w
    python -m training.train landmarks68_strong --data cache/300w

The recorded run was stopped after 51 of its 75 epochs. Validation NME: 4.60%
(`training/records/landmarks68_strong`).
"""

import keras

from training.config.schema import Augmentation, LandmarkConfig
from training.models.landmarks68 import landmark_net

CONFIG = LandmarkConfig(
    name="landmarks68_strong",
    size=128,
    template="face",
    scheme="ibug68",
    loss="wing",
    epochs=75,
    batch=32,
    learning_rate=1.5e-3,
    final_learning_rate=1e-6,
    warmup_epochs=2,
    weight_decay=0.02,
    ema=0.995,
    validate_every=2,
    augment=Augmentation(
        flip_share=0.5,
        rotate=15,
        scale=0.2,
        shift=0.05,
        stretch=0.12,
        edge_share=0.8,
        edge=0.12,
        light_share=0.6,
        brightness=0.15,
        contrast=0.5,
        gamma=0.5,
        colour=0.2,
        grey_share=0.15,
        blur_share=0.15,
        blur=1.5,
        shrink_share=0.15,
        shrink=0.3,
        noise_share=0.15,
        noise=0.06,
        jpeg_share=0.15,
        jpeg=25,
        occlude_share=0.35,
        occlude=0.4,
        occlude_blocks=2,
    ),
)


def build() -> keras.Model:
    """Return the untrained net."""
    return landmark_net(68, "landmarks68_strong")
