"""The small landmark net of the studies: a narrow stack of convolutions on 64x64 pixels.

Its architecture follows the CNN of Yin Guobing's tutorial. A study compares two trainings of this net, so its
own error does not matter.
"""

from pathlib import Path

import keras
from keras import layers

from training.config import registry
from training.config.registry import RunError
from training.config.schema import Augmentation, LandmarkConfig, LossName
from training.engine.landmark_job import train

SIZE = 64
WIDTHS = (16, 24, 32, 48)

LIGHT = Augmentation(
    flip_share=0.5, light_share=0.5, brightness=0.15, contrast=0.4, gamma=0.4, colour=0.2, grey_share=0.1
)
"""Augmentation that does not move the face in the image."""


def _conv(x: keras.KerasTensor, filters: int, name: str, strides: int = 1) -> keras.KerasTensor:
    return layers.Conv2D(filters, 3, strides, padding="same", activation="relu", name=name)(x)


def build() -> keras.Model:
    """Return the untrained net: RGB float (n, 64, 64, 3), 0..255, to unit coordinates (n, 136).

    The initial weights are Keras' defaults; as in the tutorial, the biases of the last layer are 0.
    """
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="scale")(image)
    x = layers.MaxPooling2D(2, name="pool0")(_conv(x, WIDTHS[0], "conv0", strides=2))
    for stage, width in enumerate(WIDTHS[1:], 1):
        x = _conv(_conv(x, width, f"conv{stage}a"), width, f"conv{stage}b")
        if stage < len(WIDTHS) - 1:
            x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
    x = layers.Dense(256, activation="relu", name="dense")(layers.Flatten(name="flatten")(x))
    return keras.Model(image, layers.Dense(136, dtype="float32", name="points")(x), name="small_net")


def config(name: str, loss: LossName, epochs: int, seed: int) -> LandmarkConfig:
    """Return the configuration of a run of the net. It validates only at its end: no weights are selected."""
    return LandmarkConfig(
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
        augment=LIGHT,
    )


class _Run:
    def __init__(self, config: LandmarkConfig) -> None:
        self.CONFIG = config

    @staticmethod
    def build() -> keras.Model:
        return build()


def check_recorded(config: LandmarkConfig, runs: Path) -> bool:
    """Return whether the run of a configuration is in its folder.

    Args:
        config: the configuration of the run.
        runs: the run has a folder of its name here.

    Raises:
        RunError: the folder holds a run with another configuration, or a damaged one.
    """
    folder = runs / config.name
    if not (folder / registry.RUN_FILE).exists():
        return False
    recorded = registry.config_of(folder, LandmarkConfig)
    wanted = config.model_dump()
    if other := {k: v for k, v in recorded.model_dump().items() if v != wanted[k]}:
        shown = ", ".join(f"{key}={value}" for key, value in other.items())
        raise RunError(f"{folder} holds a run with {shown}. Delete the folder, or give another --runs.")
    return True


def trained(config: LandmarkConfig, data: Path, runs: Path) -> keras.Model:
    """Return the net after a run, which is started, resumed, or read if it is finished.

    Args:
        config: the configuration of the run.
        data: the prepared set.
        runs: the run has a folder of its name here.

    Raises:
        RunError: the folder holds a run with another configuration or on other data, or a damaged one.
        BadPreparedData: the prepared data is missing, damaged or of another kind.
    """
    folder = runs / config.name
    train(_Run(config), config, data, folder, resume=check_recorded(config, runs))
    net = build()
    net.load_weights(folder / registry.BEST_WEIGHTS)
    return net
