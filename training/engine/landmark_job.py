"""Training of a landmark net on the crops that `training.prepare landmarks` wrote.

The net and its loss are `keras.ops`, so any Keras backend can train it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from jaxtyping import Float32
from keras import ops
from numpy import ndarray

from app.vision.points import COUNTS
from training.config.registry import Run, RunError
from training.config.schema import LandmarkConfig
from training.data.batches.landmarks import LandmarkBatches, from_unit, served_crops
from training.data.storage import landmark_crops
from training.data.storage.landmark_crops import LandmarkCrops
from training.data.storage.prepared import read_report
from training.engine.checkpoints import LogRow, Progress
from training.engine.fit import TrainingJob, check_data, check_folder, fit
from training.engine.initial_weights import load_start
from training.engine.optimizer import compile_net
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
        RunError: the folder holds a run, and `resume` is not set, or the reverse; the run in it was trained
            on other data; the run of `start_from` is missing; the faces are too few, or do not suit the net.
        BadPreparedData: the prepared data is missing, damaged or of another kind.
    """
    check_folder(folder, resume)
    prepared = read_report(data, "landmarks")
    if resume:
        check_data(folder, prepared.get("sha256"))
    keras.utils.set_random_seed(config.seed)

    faces = landmark_crops.load(data / "train.tfrecord")
    check_suitable(faces, prepared, config, data)
    batches = LandmarkBatches(faces, config)
    images, labels = served_crops(landmark_crops.load(data / "validation.tfrecord"), config.size)

    net = run.build()
    if config.init_output_bias and not resume:
        init_output_bias(net, np.nanmean(served_crops(faces, config.size)[1], axis=0))
    if not resume:
        load_start(net, run, config, folder, lambda: face_mesh.copy_trunk(net))
    compile_net(net, config, len(batches), LOSSES[config.loss])
    facts: dict[str, object] = {
        "module": run.CONFIG.name,
        "faces": {"train": len(faces), "validation": len(images)},
        "data": prepared,
    }
    job = TrainingJob(
        net, net, batches, lambda: validate(net, images, labels, config), facts, config.choose_by
    )
    return fit(job, config, folder, resume)


def check_suitable(
    faces: LandmarkCrops, prepared: Mapping[str, Any], config: LandmarkConfig, data: Path
) -> None:
    """Check that a prepared set has the points and the crops that a run needs.

    Args:
        faces: the faces of the set.
        prepared: its `prepare.json`.
        config: the run.
        data: the folder of the set, for messages.

    Raises:
        RunError: the set has other points or other crops.
    """
    count, needed = faces.points.shape[1], COUNTS[config.scheme]
    if count != needed:
        raise RunError(
            f"{data} holds faces with {count} points, and {config.name} needs {needed} ({config.scheme}). "
            "Prepare a dataset with these points, or train another run."
        )
    # Kaggle's template places the whole image, which prepare crops without an alignment.
    crop = "picture" if config.template == "kaggle15" else "face"
    template = prepared.get("crop", {}).get("template", crop)
    if (template == "picture") != (crop == "picture"):
        raise RunError(
            f"{config.name} needs crops that are prepared with --crop {crop}, and {data} holds others."
        )


def init_output_bias(net: keras.Model, output: Float32[ndarray, " k2"]) -> None:
    """Set the last layer, a dense one, so that the net returns `output` for every image.

    Raises:
        RunError: the last layer is of another kind.
    """
    if not isinstance(net.layers[-1], keras.layers.Dense):
        raise RunError(f"The last layer of {net.name} is not dense. Give --set init_output_bias=false.")
    kernel, bias = net.layers[-1].weights
    kernel.assign(np.zeros(kernel.shape, np.float32))
    bias.assign(output)


def validate(net: keras.Model, images: ndarray, labels: ndarray, config: LandmarkConfig) -> LogRow:
    """Return loss, NME, RMSE and MAE of the net on images (n, size, size, 3).

    RMSE and MAE are over the coordinates, in pixels of the input.
    """
    outputs = np.asarray(net.predict(images, batch_size=config.batch, verbose=0), np.float32)
    points, expected = from_unit(outputs, config.size), from_unit(labels, config.size)
    return {
        "validation_loss": float(
            ops.mean(LOSSES[config.loss](*map(ops.convert_to_tensor, (labels, outputs))))
        ),
        "validation_error": float(nme(points, expected, config.scheme).mean()),
        "validation_rmse": rmse(squared_errors(points, expected)),
        "validation_mae": float(np.nanmean(np.abs(points - expected))),
    }
