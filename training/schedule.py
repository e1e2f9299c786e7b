"""When a run ends, and the optimizer it learns with."""

import keras

from training.checkpoint import Progress
from training.config import Schedule


def over(progress: Progress, settings: Schedule) -> bool:
    """Whether the last epoch is done, or the patience with worse ones at its end."""
    since = progress.epoch - progress.best_epoch
    return progress.epoch >= settings.epochs or 0 < settings.patience <= since


def optimizer(settings: Schedule, steps: int) -> keras.optimizers.Optimizer:
    """AdamW with a warm-up and a cosine to the last step (Loshchilov & Hutter, 2017), averaging the weights.

    Without weight decay it is Adam, and with a final rate like the first one the rate is constant. Its
    epsilon is far below the usual 1e-7, near which the gradients of squared unit coordinates lie.
    """
    warmup = round(settings.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate / 100 if warmup else settings.learning_rate,
        decay_steps=max(1, settings.epochs * steps - warmup),
        alpha=settings.final_learning_rate / settings.learning_rate,
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    return keras.optimizers.AdamW(
        schedule,
        weight_decay=settings.weight_decay,
        epsilon=1e-10,
        use_ema=settings.ema > 0,
        ema_momentum=settings.ema,
    )
