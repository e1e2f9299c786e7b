"""Training of landmark nets, top to bottom: a config's net on the crops that `prepare` wrote.

    python -m training.train cnn68 --data cache/300w [--resume] [--epochs N] [--out runs]

leaves what every run leaves (`training.train`). Any Keras backend: the net and its loss are `keras.ops`.
"""

import json
from pathlib import Path

import keras
import numpy as np
from numpy import ndarray

from training import epochs
from training.checkpoint import Progress
from training.config import BEST_WEIGHTS, Run, TrainConfig
from training.data import batches, crops
from training.epochs import Course
from training.losses import LOSSES
from training.metrics import nme, rmse, squares
from training.schedule import optimizer


def train(run: Run, settings: TrainConfig, data: Path, folder: Path, resume: bool = False) -> Progress:
    """Trains to the settings' last epoch, or till their patience ends, in `folder`; answers how it went.

    Raises FileExistsError where the folder holds a run and `resume` is not asked for, and RunError where
    it is, with other data.
    """
    prepared = json.loads((data / "prepare.json").read_text())
    epochs.check(folder, resume, prepared.get("sha256"))
    keras.utils.set_random_seed(settings.seed)

    faces = crops.load(data / "train.tfrecord")
    training = batches.Batches(faces, settings)
    images, truth = batches.plain(crops.load(data / "validation.tfrecord"), settings.size)

    net = run.build()
    if settings.begin_at_mean and not resume:
        begin_at(net, np.nanmean(batches.plain(faces, settings.size)[1], axis=0))
    if settings.start_from and not resume:
        net.load_weights(folder.parent / settings.start_from / BEST_WEIGHTS)
    net.compile(optimizer(settings, training.steps), LOSSES[settings.loss])
    facts: dict[str, object] = {
        "faces": {"train": len(training), "validation": len(images)},
        "data": prepared,
    }
    course = Course(
        net, net, training, lambda: validate(net, images, truth, settings), facts, settings.choose_by
    )
    return epochs.run(course, settings, folder, resume)


def begin_at(net: keras.Model, answer: ndarray) -> None:
    """Makes the net's last layer, a dense one, answer this whatever it sees, until it learns better."""
    kernel, bias = net.layers[-1].weights
    kernel.assign(np.zeros(kernel.shape, np.float32))
    bias.assign(answer)


def validate(net: keras.Model, images: ndarray, truth: ndarray, settings: TrainConfig) -> dict[str, float]:
    """The loss, the normalised mean error and the RMSE in pixels of the net's picture on validation."""
    found = np.asarray(net.predict(images, batch_size=settings.batch, verbose=0), np.float32)
    loss = keras.ops.mean(LOSSES[settings.loss](truth, found))
    pixels, wanted = batches.from_unit(found, settings.size), batches.from_unit(truth, settings.size)
    return {
        "validation_loss": float(loss),
        "validation_error": float(nme(pixels, wanted, settings.scheme).mean()),
        "validation_rmse": rmse(squares(pixels, wanted)),
    }
