"""Training of one stage of the cascade.

The best weights are chosen on windows or crops of photos that are held out, by the config's `choose_by`.
"""

from pathlib import Path

import keras
import numpy as np
from jaxtyping import Bool, Float32
from keras import ops
from numpy import ndarray

from app.vision import boxes
from training.config.columns import CascadeLabel, CascadeOutput
from training.config.registry import Run
from training.config.schema import StageConfig
from training.engine.cascade_data import CascadeData, LabelledBatch
from training.engine.checkpoints import LogRow, Progress
from training.engine.fit import TrainingJob, check_data, check_folder, fit
from training.engine.initial_weights import load_start
from training.engine.optimizer import compile_net
from training.importers.mtcnn import load_into_trainable
from training.importers.packages import CACHE
from training.losses.detection import cascade_loss
from training.metrics.detection import Matches, average_precision, false_positive_rate

MIN_RECALL = 0.95
"""Share of the faces' windows or crops that the threshold of the logged false positive rate keeps."""

MAX_IOU_PAIRS = 5000
"""Validation boxes whose mean IoU is logged."""


def train(run: Run, config: StageConfig, data: CascadeData, folder: Path, resume: bool) -> Progress:
    """Train one stage of the cascade.

    Args:
        run: builds the net.
        config: the run's config, possibly with changes.
        data: what `cascade_data.read` returned.
        folder: the folder of the run.
        resume: continue the run in `folder`.

    Returns:
        The progress of the run.

    Raises:
        RunError: the folder holds a run, and `resume` is not set, or the reverse; the run in it was trained
            on other data; the run of `start_from` is missing.
    """
    check_folder(folder, resume)
    if resume:
        check_data(folder, data.facts["sha256"])
    keras.utils.set_random_seed(config.seed)
    net = run.build()
    if not resume:
        load_start(net, run, config, folder, lambda: load_into_trainable(net, config.stage, CACHE))
    compile_net(net, config, len(data.training), cascade_loss(config))
    job = TrainingJob(
        net,
        net,
        data.training,
        lambda: validate(net, data.validation, config),
        {"module": run.CONFIG.name, "data": data.facts},
        choose_by=config.choose_by,
        error_label="1 - average precision on validation",
    )
    return fit(job, config, folder, resume)


def validate(net: keras.Model, batches: list[LabelledBatch], config: StageConfig) -> LogRow:
    """Return loss, errors of the score, mean IoU of the boxes, and O-Net's points error.

    The errors of the score are 1 - average precision, and the false positive rate at a recall of 0.95. The
    points error is the mean distance over the eye distance.
    """
    outputs = [
        np.asarray(ops.convert_to_numpy(net(images, training=False)), np.float32) for images, _ in batches
    ]
    loss = cascade_loss(config)
    losses = [
        float(loss(*map(ops.convert_to_tensor, (labels, out))))
        for (_, labels), out in zip(batches, outputs, strict=True)
    ]
    labels = np.concatenate([rows.reshape(-1, rows.shape[-1]) for _, rows in batches])
    out = np.concatenate([rows.reshape(-1, rows.shape[-1]) for rows in outputs])
    known, near = labels[:, CascadeLabel.FACE_WEIGHT] > 0, labels[:, CascadeLabel.OFFSETS_WEIGHT] > 0
    hit = labels[known, CascadeLabel.FACE] > 0
    logits = out[known, CascadeOutput.LOGIT]
    matches = Matches(logits, hit, np.zeros(len(hit), bool), int(hit.sum()))
    row = {
        "validation_loss": float(np.mean(losses)),
        "validation_error": 1 - average_precision([matches]),
        "validation_false_positive_rate": false_positive_rate(logits, hit, MIN_RECALL),
        "validation_iou": _mean_iou(labels[near, CascadeLabel.OFFSETS], out[near, CascadeOutput.OFFSETS]),
    }
    if labels.shape[-1] == CascadeLabel.WIDTH_WITH_POINTS:
        with_points: Bool[ndarray, " n"] = labels[:, CascadeLabel.POINTS_WEIGHT] > 0
        if with_points.any():
            expected = labels[with_points, CascadeLabel.POINTS].reshape(-1, 5, 2)
            points = out[with_points, CascadeOutput.POINTS].reshape(-1, 5, 2)
            row["validation_points"] = _points_error(points, expected)
    return row


def _mean_iou(a: Float32[ndarray, "n 4"], b: Float32[ndarray, "n 4"]) -> float:
    """Return the mean IoU of boxes given as offsets from the unit square."""
    unit = np.array([[0, 0, 1, 1]], np.float32)
    a, b = unit + a[:MAX_IOU_PAIRS], unit + b[:MAX_IOU_PAIRS]
    return (
        float(np.mean([boxes.iou(a[i : i + 1], b[i : i + 1])[0, 0] for i in range(len(a))]))
        if len(a)
        else 0.0
    )


def _points_error(points: Float32[ndarray, "n 5 2"], expected: Float32[ndarray, "n 5 2"]) -> float:
    eyes = np.linalg.norm(expected[:, 0] - expected[:, 1], axis=1)
    return float((np.linalg.norm(points - expected, axis=2).mean(axis=1) / eyes).mean())
