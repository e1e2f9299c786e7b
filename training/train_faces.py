"""Training of nets for embeddings, top to bottom: a config's system on the faces that `prepare_people` wrote.

    python -m training.train triplet --data cache/people [--resume] [--epochs N] [--out runs]

leaves what every run leaves (`training.train`). The best weights are those of the least equal error rate on
pairs of people who are not trained on.
"""

import json
from pathlib import Path

import keras
import numpy as np

from training import epochs, systems, verification
from training.checkpoint import Progress
from training.config import BEST_WEIGHTS, FaceConfig, FaceRun
from training.data import gallery
from training.data.face_batches import FaceBatches, Pairs, zipped
from training.data.gallery import Gallery
from training.epochs import Course
from training.schedule import optimizer
from training.systems import System

VALIDATION_PAIRS = 6000
"""Of people kept out, half of them genuine; always the same."""


def train(run: FaceRun, settings: FaceConfig, data: Path, folder: Path, resume: bool = False) -> Progress:
    """Trains to the settings' last epoch, or till their patience ends, in `folder`; answers how it went.

    Raises FileExistsError where the folder holds a run and `resume` is not asked for, and RunError where
    it is, with other data.
    """
    prepared = json.loads((data / "prepare.json").read_text())
    epochs.check(folder, resume, prepared.get("sha256"))
    keras.utils.set_random_seed(settings.seed)

    faces, unseen = gallery.load(data / "train.tfrecord"), gallery.load(data / "validation.tfrecord")
    batches, pairs = FaceBatches(faces, settings), validation_pairs(unseen)
    pictures = unseen.plain(settings.size)

    net = run.build()
    if settings.start_from and not resume:
        net.load_weights(folder.parent / settings.start_from / BEST_WEIGHTS)
    system = systems.build(net, settings, faces.people)
    model = system.model
    model.compile(optimizer(settings, batches.steps), system.loss, metrics=system.metrics)
    facts: dict[str, object] = {
        "faces": {"train": len(faces), "validation": len(unseen)},
        "people": {"train": faces.people, "validation": unseen.people},
        "data": prepared,
    }
    course = Course(
        model,
        system.product,
        batches,
        lambda: validate(system, pictures, pairs, settings.batch),
        facts,
        error="equal error rate on unseen people",
    )
    return epochs.run(course, settings, folder, resume)


def validation_pairs(unseen: Gallery) -> Pairs:
    """Fixed pairs of the people kept out: half genuine, half impostors."""
    rng = np.random.default_rng(0)
    half = VALIDATION_PAIRS // 2
    genuine = zipped(unseen.labels, half, (1.0, 0.0), rng)
    impostors = zipped(unseen.labels, half, (0.0, 1.0), rng)
    return Pairs(*(np.concatenate(both) for both in zip(genuine, impostors, strict=True)))


def validate(system: System, pictures: np.ndarray, pairs: Pairs, batch: int) -> dict[str, float]:
    """Equal error rate and area under the ROC curve on pairs of people who are not trained on."""
    similarity = systems.compared(system, pictures, pairs.left, pairs.right, batch)
    return {
        "validation_error": verification.eer(similarity, pairs.same),
        "validation_auc": verification.auc(similarity, pairs.same),
    }
