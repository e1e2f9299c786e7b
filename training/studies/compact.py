"""The small net of the studies: the first tutorial's kind of stack, narrow, on 64x64 pixels.

What a study compares are two trainings of this net; its own error is about that of a net for a toy.
"""

from pathlib import Path

import keras
from keras import layers

from training import checkpoint, config
from training.config import Augmentation, LossName, TrainConfig
from training.train_landmarks import train

SIZE = 64
WIDTHS = (16, 24, 32, 48)

LIGHT = Augmentation(
    flip_share=0.5, light_share=0.5, brightness=0.15, contrast=0.4, gamma=0.4, colour=0.2, grey_share=0.1
)
"""Augmentation that moves no face within its picture."""


def _conv(x: keras.KerasTensor, filters: int, name: str, strides: int = 1) -> keras.KerasTensor:
    return layers.Conv2D(filters, 3, strides, padding="same", activation="relu", name=name)(x)


def build() -> keras.Model:
    """RGB float (n, 64, 64, 3) in 0..255 in, unit coordinates (n, 136) out.

    Initial values are Keras's own, as the tutorial had its framework's: the last biases start at 0.
    """
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="scale")(image)
    x = layers.MaxPooling2D(2, name="pool0")(_conv(x, WIDTHS[0], "conv0", strides=2))
    for stage, width in enumerate(WIDTHS[1:], 1):
        x = _conv(_conv(x, width, f"conv{stage}a"), width, f"conv{stage}b")
        if stage < len(WIDTHS) - 1:
            x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
    x = layers.Dense(256, activation="relu", name="dense")(layers.Flatten(name="flatten")(x))
    return keras.Model(image, layers.Dense(136, dtype="float32", name="points")(x), name="compact")


def settings(name: str, loss: LossName, augment: Augmentation, epochs: int, seed: int) -> TrainConfig:
    """A run of the net that validates at its end alone: there is nothing to choose by it."""
    return TrainConfig(
        name=name,
        size=SIZE,
        template="face",
        scheme="ibug68",
        loss=loss,
        epochs=epochs,
        batch=32,
        learning_rate=1e-3,
        final_learning_rate=1e-6,
        warmup_epochs=1,
        ema=0.99,
        validate_every=epochs,
        seed=seed,
        augment=augment,
    )


class _Run:
    def __init__(self, settings: TrainConfig) -> None:
        self.CONFIG = settings

    @staticmethod
    def build() -> keras.Model:
        return build()


def trained(how: TrainConfig, data: Path, runs: Path) -> keras.Model:
    """The net after the run, which is made, gone on with, or read where it is finished, in `runs`/name."""
    folder = runs / how.name
    train(_Run(how), how, data, folder, resume=(folder / checkpoint.FILE).exists())
    net = build()
    net.load_weights(folder / config.BEST_WEIGHTS)
    return net
