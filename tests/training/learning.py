"""Whether a net learns: on one batch, and without a compiled training function, which takes seconds."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

Loss = Callable[[Any, Any], Any]


def gradients(net: keras.Model, loss: Loss, inputs: Any, truth: Any) -> dict[str, float]:
    """The largest absolute gradient of the loss in each trainable weight, by the weight's path."""
    _, found = _step(net, loss, inputs, truth)
    paths = [variable.path for variable in net.trainable_variables]
    return {path: float(np.abs(value).max()) for path, value in zip(paths, found, strict=True)}


def share_left(net: keras.Model, loss: Loss, inputs: Any, truth: Any, *, steps: int, rate: float) -> float:
    """The loss on a batch after so many steps of Adam over the one before: 1 where nothing is learned."""
    optimizer = keras.optimizers.Adam(rate)
    first = None
    for _ in range(steps):
        value, found = _step(net, loss, inputs, truth)
        first = value if first is None else first
        optimizer.apply_gradients(zip(found, net.trainable_variables, strict=True))
    return _value(net, loss, inputs, truth, training=True).numpy() / first


def least_move(before: keras.Model, after: keras.Model) -> float:
    """How far the trainable weight moved that moved least."""
    weights = zip(before.trainable_variables, after.trainable_variables, strict=True)
    return min(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in weights)


def _step(net: keras.Model, loss: Loss, inputs: Any, truth: Any) -> tuple[float, list[Any]]:
    with tf.GradientTape() as tape:
        value = _value(net, loss, inputs, truth, training=True)
    found = tape.gradient(value, net.trainable_variables)
    assert all(gradient is not None for gradient in found)
    return float(value), found


def _value(net: keras.Model, loss: Loss, inputs: Any, truth: Any, *, training: bool) -> Any:
    found = net(inputs, training=training)
    return ops.mean(loss(ops.convert_to_tensor(truth), found)) + sum(net.losses)
