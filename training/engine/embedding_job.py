"""Training of an embedding net on the faces that `training.prepare identities` wrote.

The best weights have the lowest equal error rate on pairs of people who are not in the training set.
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy import ndarray

from training.config.registry import Run, RunError
from training.config.schema import EmbeddingConfig
from training.data.batches.embeddings import EmbeddingBatches, Pairs, sample_pairs, served_crops
from training.data.storage import identity_crops
from training.data.storage.identity_crops import IdentityCrops
from training.data.storage.prepared import read_report
from training.engine import embedding_objectives
from training.engine.checkpoints import LogRow, Progress
from training.engine.embedding_objectives import EmbeddingObjective, similarities
from training.engine.fit import TrainingJob, check_data, check_folder, fit
from training.engine.initial_weights import load_start
from training.engine.optimizer import compile_net
from training.importers import sface
from training.metrics import verification

VALIDATION_PAIRS = 6000
"""Number of validation pairs; half of them are genuine."""


def train(run: Run, config: EmbeddingConfig, data: Path, folder: Path, resume: bool = False) -> Progress:
    """Train an embedding net.

    Args:
        run: builds the net.
        config: the run's config, possibly with changes.
        data: the folder that `training.prepare identities` wrote.
        folder: the folder of the run.
        resume: continue the run in `folder`.

    Returns:
        The progress of the run.

    Raises:
        RunError: the folder holds a run, and `resume` is not set, or the reverse; the run in it was trained
            on other data; the run of `start_from` is missing; the set has too few people or images, or its
            faces are smaller than the input of the net.
        BadPreparedData: the prepared data is missing, damaged or of another kind.
    """
    check_folder(folder, resume)
    prepared = read_report(data, "identities")
    if resume:
        check_data(folder, prepared.get("sha256"))
    keras.utils.set_random_seed(config.seed)

    faces = identity_crops.load(data / "train.tfrecord")
    if not resume and faces.span < config.size:
        raise RunError(
            f"{data} holds faces of {faces.span} pixels, and {config.name} needs {config.size}. Run "
            f"`training.prepare identities` with --span {config.size}."
        )
    unseen = identity_crops.load(data / "validation.tfrecord")
    batches, pairs = EmbeddingBatches(faces, config), validation_pairs(unseen)
    images = served_crops(unseen, config.size)

    net = run.build()
    if not resume:
        imported = partial(sface.copy_weights, net) if net.name == "sface" else None
        load_start(net, run, config, folder, imported)
    teacher = None if faces.vectors is None else faces.vectors.shape[1]
    objective = embedding_objectives.build(net, config, faces.people, teacher)
    compile_net(objective.model, config, len(batches), objective.loss, objective.metrics)
    facts: dict[str, object] = {
        "module": run.CONFIG.name,
        "faces": {"train": len(faces), "validation": len(unseen)},
        "people": {"train": faces.people, "validation": unseen.people},
        "data": prepared,
    }
    job = TrainingJob(
        objective.model,
        objective.product,
        batches,
        lambda: validate(objective, images, pairs, config.batch),
        facts,
        error_label="equal error rate on unseen people",
    )
    return fit(job, config, folder, resume)


def validation_pairs(unseen: IdentityCrops) -> Pairs:
    """Return the fixed validation pairs of a set: half genuine, half impostor.

    Raises:
        RunError: the set has one person only, or no person with two images.
    """
    images = np.bincount(unseen.labels)
    if unseen.people < 2 or images.max() < 2:
        raise RunError(
            f"The validation set has {unseen.people} people with at most {images.max()} images. It needs "
            "two people, "
            "one of them with two images. Run `training.prepare identities` with another --validation, or "
            "add photos."
        )
    rng = np.random.default_rng(0)
    half = VALIDATION_PAIRS // 2
    genuine = sample_pairs(unseen.labels, half, (1.0, 0.0), rng)
    impostors = sample_pairs(unseen.labels, half, (0.0, 1.0), rng)
    return Pairs(*(np.concatenate(both) for both in zip(genuine, impostors, strict=True)))


def validate(objective: EmbeddingObjective, images: ndarray, pairs: Pairs, batch: int) -> LogRow:
    """Return the equal error rate and the area under the ROC curve on the validation pairs."""
    scores = similarities(objective, images, pairs.left, pairs.right, batch)
    return {
        "validation_error": verification.eer(scores, pairs.same),
        "validation_auc": verification.auc(scores, pairs.same),
    }
