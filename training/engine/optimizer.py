"""The optimizer of every run: AdamW with warm-up and cosine decay."""

from collections.abc import Sequence

import keras

from training.config.schema import RunConfig
from training.losses.tensor import Loss

UNDECAYED = ("bias", "alpha", "beta", "gamma")
"""Names of the variables that do not decay."""


def optimizer(config: RunConfig, steps: int) -> keras.optimizers.Optimizer:
    """Return AdamW with a linear warm-up and a cosine decay to the last step of the run.

    Kernels decay; biases, slopes of PReLU and the parameters of batch normalisation do not. With a weight
    decay of 0 it is Adam; with a final rate equal to the first the rate is constant. The epsilon is far below
    the default of 1e-7: the gradients of squared unit coordinates are of that order.
    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization" (2017).

    Args:
        config: the run; `ema` above 0 adds a moving average of the weights.
        steps: batches per epoch.
    """
    warmup = round(config.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 100 if warmup else config.learning_rate,
        decay_steps=max(1, config.epochs * steps - warmup),
        alpha=config.final_learning_rate / config.learning_rate,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    adamw = keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        epsilon=1e-10,
        use_ema=config.ema > 0,
        ema_momentum=config.ema,
    )
    # Keras searches the name of the variable; with TensorFlow that is its path, with a number at the end.
    adamw.exclude_from_weight_decay(var_names=[rf"(^|/){name}(:\d+)?$" for name in UNDECAYED])
    return adamw


def compile_net(
    net: keras.Model, config: RunConfig, steps: int, loss: Loss, metrics: Sequence[Loss] = ()
) -> None:
    """Compile a net for training, without XLA.

    XLA, which Keras chooses for TensorFlow by default, makes most steps on a CPU 1.4
    to 3 times longer (docs/experiments/training-speed.md).

    Args:
        net: the net with all that its objective adds.
        config: the run.
        steps: batches per epoch.
        loss: labels and outputs to the loss.
        metrics: what is logged besides the loss.
    """
    net.compile(optimizer(config, steps), loss, metrics=list(metrics), jit_compile=False)
