"""MTCNN's R- and O-Net for further training: the published layers with one head for all outputs."""

import keras
from keras import layers

from training.models import mtcnn
from training.models.mtcnn import MEAN, SCALE

LAST_LAYER = {"rnet": "prelu4", "onet": "prelu5"}
"""The layer of the published net below its heads."""


def trainable(stage: str) -> keras.Model:
    """Return the R- or O-Net with random weights.

    Its input is RGB float, 0..255, (n, size, size, 3); its output (n, 5 or 15) is that of
    `training.config.columns.CascadeOutput`.

    Args:
        stage: `rnet` or `onet`.
    """
    published = {"rnet": mtcnn.rnet, "onet": mtcnn.onet}[stage]()
    image = keras.Input(published.input_shape[1:], name="image")
    x = trunk(published)(layers.Rescaling(SCALE, offset=-MEAN * SCALE)(image))
    heads = layers.Dense(15 if stage == "onet" else 5, name="heads")(x)
    return keras.Model(image, heads, name=stage)


def trunk(published: keras.Model) -> keras.Model:
    """Return the part of `mtcnn.rnet()` or `mtcnn.onet()` below its heads."""
    return keras.Model(published.input, published.get_layer(LAST_LAYER[published.name]).output, name="trunk")
