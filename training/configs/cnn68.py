"""The 68-point CNN of Yin Guobing's tutorial with stride 2 in pool3, on 300-W.

    python -m training.prepare landmarks --data DATA --out cache/300w
    python -m training.train cnn68 --data cache/300w --precision mixed_bfloat16
    python -m training.evaluate landmarks --data DATA --run runs/cnn68

Validation NME: 4.60% (`training/records/cnn68`). Test set: models/README.md. Use mixed_bfloat16 on a CPU with
AVX-512 BF16, where float32 is slower: docs/experiments/landmark-nets.md.
"""

import keras

from training.config.schema import Augmentation, LandmarkConfig
from training.models.cnn68 import cnn68

CONFIG = LandmarkConfig(
    name="cnn68",
    size=128,
    template="face",
    scheme="ibug68",
    loss="mean_squared",
    epochs=100,
    batch=32,
    learning_rate=7e-4,
    final_learning_rate=1e-6,
    warmup_epochs=2,
    ema=0.995,
    validate_every=2,
    augment=Augmentation(
        flip_share=0.5,
        rotate=10,
        scale=0.15,
        shift=0.04,
        stretch=0.1,
        edge_share=0.8,
        edge=0.12,
        light_share=0.6,
        brightness=0.15,
        contrast=0.5,
        gamma=0.5,
        colour=0.2,
        grey_share=0.1,
        blur_share=0.12,
        blur=1.5,
        shrink_share=0.12,
        shrink=0.35,
        noise_share=0.15,
        noise=0.06,
        jpeg_share=0.15,
        jpeg=25,
        occlude_share=0.2,
        occlude=0.35,
        occlude_blocks=2,
    ),
)


def build() -> keras.Model:
    """Return the untrained net."""
    return cnn68(pool3_stride=2)
