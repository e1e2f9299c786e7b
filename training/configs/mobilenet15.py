"""The Keras tutorial's 15-point MobileNetV2, on Kaggle's complete rows.

    python -m training.data.prepare --data DATA --source kaggle15 --crop picture --complete \\
        --validation 0.2 --out cache/mobilenet15
    python -m training.train mobilenet15 --data cache/mobilenet15 [--imagenet-weights FILE]

As in the tutorial, but for three things: without a file the backbone begins at random; pictures are mirrored,
turned and moved, besides their random contrast of about 0.3; and the learning rate falls.
"""

import keras

from training.config import TrainConfig
from training.configs.cnn15 import AUGMENT
from training.models.mobilenet15 import mobilenet15

CONFIG = TrainConfig(
    name="mobilenet15",
    size=96,
    template="kaggle15",
    scheme="kaggle15",
    loss="mean_squared",
    epochs=16,
    batch=20,
    learning_rate=5e-4,
    final_learning_rate=1e-6,
    warmup_epochs=1,
    choose_by="validation_loss",
    backbone="random",
    augment=AUGMENT.model_copy(update={"light_share": 1.0, "contrast": 0.43}),
)


def build() -> keras.Model:
    """The net, untrained."""
    return mobilenet15()
