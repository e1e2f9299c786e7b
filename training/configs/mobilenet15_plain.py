r"""The 15-point MobileNetV2 as the Keras tutorial has it, to compare with `mobilenet15`. Not shipped.

    python -m training.train mobilenet15_plain --data cache/mobilenet15 \
        --imagenet-weights cache/mobilenetv2.weights.h5

The data are those of `mobilenet15`. Comparison: docs/experiments/landmark-nets.md.
"""

import keras

from training.configs import mobilenet15 as changed
from training.models.mobilenet15 import mobilenet15

CONFIG = changed.CONFIG.model_copy(
    update={
        "name": "mobilenet15_plain",
        "epochs": 100,
        "learning_rate": 1e-3,
        "final_learning_rate": 1e-3,
        "warmup_epochs": 0.0,
        "init_output_bias": False,
        "augment": type(changed.CONFIG.augment)(),
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return mobilenet15(plain=True)
