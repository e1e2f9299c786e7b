"""Training of a landmark net on the crops that `training.prepare landmarks` wrote.

The net and its loss are `keras.ops`, so any Keras backend can train it.
"""

import json
from pathlib import Path

import keras
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from training.config.registry import BEST_WEIGHTS, Run
from training.config.schema import LandmarkConfig
from training.data.batches.landmarks import LandmarkBatches, from_unit, served_crops
from training.data.storage import landmark_crops
from training.engine.checkpoints import LogRow, Progress
from training.engine.fit import TrainingJob, fit, prepare_folder
from training.engine.optimizer import optimizer
from training.importers import face_mesh
from training.losses.landmarks import LOSSES
from training.metrics.landmarks import nme, rmse, squared_errors


def train(run: Run, config: LandmarkConfig, data: Path, folder: Path, resume: bool = False) -> Progress:
    """Train a landmark net.

    Args:
        run: builds the net.
        config: the run's config, possibly with changes.
        data: the folder that `training.prepare landmarks` wrote.
        folder: the folder of the run.
        resume: continue the run in `folder`.

    Returns:
        The progress of the run.

    Raises:
        FileExistsError: the folder holds a run, and `resume` is not set.
        FileNotFoundError: prepared data, the run to continue or the run of `start_from` is missing.
        RunError: the run in the folder was trained on other data.
    """
    prepared = json.loads((data / "prepare.json").read_text())
    prepare_folder(folder, resume, prepared.get("sha256"))
    keras.utils.set_random_seed(config.seed)

    faces = landmark_crops.load(data / "train.tfrecord")
    batches = LandmarkBatches(faces, config)
    images, labels = served_crops(landmark_crops.load(data / "validation.tfrecord"), config.size)

    net = run.build()
    if config.init_output_bias and not resume:
        init_output_bias(net, np.nanmean(served_crops(faces, config.size)[1], axis=0))
    if config.start_from == "imported" and not resume:
        face_mesh.copy_trunk(net)
    elif config.start_from and not resume:
        net.load_weights(folder.parent / config.start_from / BEST_WEIGHTS)
    net.compile(optimizer(config, len(batches)), LOSSES[config.loss])
    facts: dict[str, object] = {"faces": {"train": len(faces), "validation": len(images)}, "data": prepared}
    job = TrainingJob(
        net, net, batches, lambda: validate(net, images, labels, config), facts, config.choose_by
    )
    return fit(job, config, folder, resume)


def init_output_bias(net: keras.Model, output: Float32[ndarray, " k2"]) -> None:
    """Set the last layer, a dense one, so that the net returns `output` for every image."""
    kernel, bias = net.layers[-1].weights
    kernel.assign(np.zeros(kernel.shape, np.float32))
    bias.assign(output)


def validate(net: keras.Model, images: ndarray, labels: ndarray, config: LandmarkConfig) -> LogRow:
    """Return loss, NME and RMSE (in pixels of the input) of the net on images (n, size, size, 3)."""
    outputs = np.asarray(net.predict(images, batch_size=config.batch, verbose=0), np.float32)
    points, expected = from_unit(outputs, config.size), from_unit(labels, config.size)
    return {
        "validation_loss": float(keras.ops.mean(LOSSES[config.loss](labels, outputs))),
        "validation_error": float(nme(points, expected, config.scheme).mean()),
        "validation_rmse": rmse(squared_errors(points, expected)),
    }
