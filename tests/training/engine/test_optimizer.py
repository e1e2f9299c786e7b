"""The schedule of the learning rate, and the options of the optimizer."""

import keras
import numpy as np
import pytest

from training.config.schema import RunConfig
from training.engine.optimizer import optimizer

CONFIG = RunConfig(
    name="one",
    size=1,
    epochs=5,
    batch=1,
    learning_rate=0.1,
    final_learning_rate=0.01,
    warmup_epochs=0.5,
    weight_decay=0.3,
    ema=0.8,
)
STEPS = 20


def rates(config: RunConfig) -> list[float]:
    """Return the learning rate of every step of a run, and the rate after the last one."""
    schedule = optimizer(config, STEPS).get_config()["learning_rate"]
    decay = keras.optimizers.schedules.CosineDecay.from_config(schedule["config"])
    return [float(decay(step)) for step in range(config.epochs * STEPS + 1)]


def test_the_rate_rises_to_its_peak_and_falls_along_a_cosine_to_the_last_step() -> None:
    values = rates(CONFIG)
    warmup = STEPS // 2
    assert values[0] == pytest.approx(0.001)
    np.testing.assert_allclose(np.diff(values[: warmup + 1]), (0.1 - 0.001) / warmup, rtol=1e-3)
    assert max(values) == values[warmup] == pytest.approx(0.1)
    middle = (warmup + CONFIG.epochs * STEPS) // 2
    assert values[middle] == pytest.approx((0.1 + 0.01) / 2)
    assert values[-1] == pytest.approx(0.01)


def test_equal_rates_and_no_warm_up_are_a_constant_rate() -> None:
    constant = CONFIG.model_copy(update={"final_learning_rate": 0.1, "warmup_epochs": 0.0})
    np.testing.assert_allclose(rates(constant), 0.1, rtol=1e-6)


def test_the_options_of_the_config_are_those_of_the_optimizer() -> None:
    options = optimizer(CONFIG, STEPS).get_config()
    assert (options["weight_decay"], options["use_ema"], options["ema_momentum"]) == (0.3, True, 0.8)
    assert optimizer(CONFIG.model_copy(update={"ema": 0.0}), STEPS).get_config()["use_ema"] is False


def test_only_kernels_decay() -> None:
    """With gradients of 0 a step changes nothing but what decays."""
    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.PReLU(shared_axes=[1, 2], alpha_initializer="ones"),
            layers.DepthwiseConv2D(3),
            layers.Flatten(),
            layers.Dense(2, bias_initializer="ones"),
        ]
    )
    before = {variable.path: variable.numpy() for variable in net.trainable_variables}
    constant = CONFIG.model_copy(update={"final_learning_rate": 0.1, "warmup_epochs": 0.0, "ema": 0.0})
    chosen = optimizer(constant, STEPS)
    chosen.apply([keras.ops.zeros_like(v) for v in net.trainable_variables], net.trainable_variables)
    changed = {
        variable.name
        for variable in net.trainable_variables
        if not np.array_equal(variable.numpy(), before[variable.path])
    }
    assert changed == {"kernel"}
    kernel = next(v for v in net.trainable_variables if v.name == "kernel")
    np.testing.assert_allclose(kernel.numpy(), before[kernel.path] * (1 - 0.1 * 0.3), rtol=1e-4)
