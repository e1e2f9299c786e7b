"""MTCNN's R- and O-Net in the form they are trained on: the published layers, one head for all answers."""

from pathlib import Path

import keras
import numpy as np
from keras import layers

from training.importers.mtcnn import load_plain
from training.models import mtcnn
from training.models.mtcnn import MEAN, SCALE

_LAST = {"rnet": "prelu4", "onet": "prelu5"}


def tuned(stage: str) -> keras.Model:
    """The `rnet` or `onet`: RGB float 0..255 in, (n, 5 or 15) out (`training.detector_losses`)."""
    plain = {"rnet": mtcnn.rnet, "onet": mtcnn.onet}[stage]()
    trunk = keras.Model(plain.input, plain.get_layer(_LAST[stage]).output, name="trunk")
    image = keras.Input(plain.input_shape[1:], name="image")
    x = trunk(layers.Rescaling(SCALE, offset=-MEAN * SCALE)(image))
    answer = layers.Dense(15 if stage == "onet" else 5, name="heads")(x)
    return keras.Model(image, answer, name=stage)


def begin(net: keras.Model, stage: str, cache: Path) -> None:
    """Puts the published weights into what `tuned` built; the answers are the published net's."""
    plain = load_plain(stage, cache)
    trunk = keras.Model(plain.input, plain.get_layer(_LAST[stage]).output)
    net.get_layer("trunk").set_weights(trunk.get_weights())
    score, bias = plain.get_layer("score").get_weights()
    kernels = [score[:, 1:] - score[:, :1], plain.get_layer("offsets").get_weights()[0]]
    biases = [bias[1:] - bias[:1], plain.get_layer("offsets").get_weights()[1]]
    if stage == "onet":
        kernel, bias = plain.get_layer("points").get_weights()
        turn = np.arange(10).reshape(2, 5).T.reshape(-1)  # five x, five y to x and y in turn
        kernels, biases = [*kernels, kernel[:, turn]], [*biases, bias[turn]]
    net.get_layer("heads").set_weights([np.concatenate(kernels, 1), np.concatenate(biases)])
