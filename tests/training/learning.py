"""Checks that a net learns, on one batch and without a compiled training step, which takes seconds."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

Loss = Callable[[Any, Any], Any]


def gradients(net: keras.Model, loss: Loss, inputs: Any, labels: Any) -> dict[str, float]:
    """Return the largest absolute gradient of the loss in each trainable weight, by the weight's path."""
    _, values = _step(net, loss, inputs, labels)
    paths = [variable.path for variable in net.trainable_variables]
    return {path: float(np.abs(value).max()) for path, value in zip(paths, values, strict=True)}


def share_left(net: keras.Model, loss: Loss, inputs: Any, labels: Any, *, steps: int, rate: float) -> float:
    """Return the loss on a batch after some steps of Adam over the loss before: 1 if nothing is learned."""
    optimizer = keras.optimizers.Adam(rate)
    first = None
    for _ in range(steps):
        value, values = _step(net, loss, inputs, labels)
        first = value if first is None else first
        optimizer.apply_gradients(zip(values, net.trainable_variables, strict=True))
    return _value(net, loss, inputs, labels, training=True).numpy() / first


def least_move(before: keras.Model, after: keras.Model) -> float:
    """Return the smallest change of a trainable weight: the maximum over its values."""
    weights = zip(before.trainable_variables, after.trainable_variables, strict=True)
    return min(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in weights)


def _step(net: keras.Model, loss: Loss, inputs: Any, labels: Any) -> tuple[float, list[Any]]:
    with tf.GradientTape() as tape:
        value = _value(net, loss, inputs, labels, training=True)
    values = tape.gradient(value, net.trainable_variables)
    assert all(gradient is not None for gradient in values)
    return float(value), values


def _value(net: keras.Model, loss: Loss, inputs: Any, labels: Any, *, training: bool) -> Any:
    outputs = net(inputs, training=training)
    return ops.mean(loss(ops.convert_to_tensor(labels), outputs)) + sum(net.losses)
