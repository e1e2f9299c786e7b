r"""Softmax over people without center loss, from random weights, to compare with center loss. Not shipped.

    python -m training.prepare identities --source folders:DATA/identities/celeba \
        --source folders:DATA/identities/vggface2 --validation 30 --out cache/people
    python -m training.train softmax --data cache/people

Validation EER: 0.175 (`training/records/softmax`).
"""

import keras

from training.config.schema import Augmentation, EmbeddingConfig
from training.models.small_face import small_face

AUGMENT = Augmentation(
    flip_share=0.5,
    rotate=5,
    scale=0.08,
    shift=0.04,
    light_share=0.5,
    brightness=0.1,
    contrast=0.3,
    gamma=0.3,
    grey_share=0.1,
    blur_share=0.1,
    blur=0.8,
    occlude_share=0.2,
    occlude=0.3,
)
CONFIG = EmbeddingConfig(
    name="softmax",
    objective="softmax",
    size=48,
    template="arcface",
    dimension=128,
    epochs=20,
    batch=64,
    learning_rate=3e-3,
    final_learning_rate=1e-5,
    warmup_epochs=1,
    weight_decay=0.05,
    ema=0.995,
    validate_every=2,
    augment=AUGMENT,
)


def build() -> keras.Model:
    """Return the untrained net."""
    return small_face(CONFIG.size, CONFIG.dimension)
