"""Training of nets for embeddings, top to bottom: a config's system on the faces that `prepare_people` wrote.

    python -m training.train triplet --data cache/people [--resume] [--epochs N] [--out runs]

leaves what every run leaves (`training.train`). The best weights are those of the least equal error rate on
pairs of people who are not trained on.
"""

import json
import time
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from training import checkpoint, systems, verification
from training.checkpoint import Progress
from training.config import BEST_WEIGHTS, RUN_FILE, FaceConfig, FaceRun
from training.data import gallery
from training.data.face_batches import FaceBatches, Pairs, zipped
from training.data.gallery import Gallery
from training.logbook import Logbook
from training.schedule import optimizer, over
from training.systems import System

VALIDATION_PAIRS = 6000
"""Of people kept out, half of them genuine; always the same."""


def train(run: FaceRun, settings: FaceConfig, data: Path, folder: Path, resume: bool = False) -> Progress:
    """Trains to the settings' last epoch, or till their patience ends, in `folder`; answers how it went.

    Raises FileExistsError where the folder holds a run and `resume` is not asked for, and ValueError where
    it is, with other data.
    """
    if not resume and (folder / checkpoint.FILE).exists():
        raise FileExistsError(f"{folder} holds a run: --resume goes on with it, --out names another place")
    prepared = json.loads((data / "prepare.json").read_text())
    if resume and json.loads((folder / RUN_FILE).read_text())["data"].get("sha256") != prepared.get("sha256"):
        raise ValueError(f"{folder} holds a run on other data than {data}")
    folder.mkdir(parents=True, exist_ok=True)
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
    progress = checkpoint.load(folder, model) if resume else Progress()
    facts: dict[str, object] = {
        "config": settings.model_dump(),
        "precision": keras.config.dtype_policy().name,
        "backend": f"{keras.backend.backend()}, keras {keras.__version__}",
        "parameters": net.count_params(),
        "faces": {"train": len(faces), "validation": len(unseen)},
        "people": {"train": faces.people, "validation": unseen.people},
        "data": prepared,
    }
    book = Logbook(folder, "equal error rate on unseen people")
    names = [metric.__name__ for metric in system.metrics]
    while not over(progress, settings):
        epoch, start = progress.epoch, time.perf_counter()
        model.reset_metrics()
        values = [float("nan")] * (1 + len(names))
        bar = tqdm(batches.epoch(epoch), f"epoch {epoch + 1}", batches.steps, leave=False, disable=None)
        for inputs, truth in bar:
            values = [float(v) for v in model.train_on_batch(inputs, truth)]
            bar.set_postfix(loss=f"{values[0]:.3g}")
        row = {"epoch": epoch + 1, "loss": values[0], **dict(zip(names, values[1:], strict=True))}
        row["learning_rate"] = float(model.optimizer.learning_rate)

        if (epoch + 1) % settings.validate_every == 0 or epoch + 1 == settings.epochs:
            with checkpoint.Averaged(model):
                row |= validate(system, pictures, pairs, settings.batch)
                if row["validation_error"] < progress.best:
                    progress.best, progress.best_epoch = row["validation_error"], epoch + 1
                    checkpoint.save_best(folder / BEST_WEIGHTS, system.product)
        row["seconds"] = time.perf_counter() - start

        progress.rows.append(row)
        progress.epoch = epoch + 1
        checkpoint.save(folder, model, progress)
        facts |= {"epochs": progress.epoch, "seconds": round(sum(r["seconds"] for r in progress.rows))}
        facts |= {"best_epoch": progress.best_epoch, "best_validation_error": progress.best}
        book.write(progress.rows, facts)
        print("  ".join(f"{k} {v:.5g}" for k, v in row.items()), flush=True)
    book.close()
    return progress


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
