"""Training of one of the cascade's stages: a config's net on WIDER's photographs and MTFL's portraits.

    python -m training.train cascade_pnet --data DATA
    python -m training.train cascade_rnet --data DATA --candidates cache/rnet.npz [--resume]

leaves what every run leaves (`training.train`). P-Net needs no candidates: it sees whole pieces. The others'
come from `training.propose`. The best weights are those of the greatest average precision over the windows or
crops of photographs that are not trained on.
"""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy import ndarray

from app.vision import boxes
from training import epochs
from training.average_precision import Matched, average_precision
from training.cascade_config import StageConfig, StageRun
from training.cascade_labels import Label, Output
from training.checkpoint import Progress
from training.config import BEST_WEIGHTS, Augmentation, RunError
from training.data import candidates, scenes
from training.data.candidates import CropBatches
from training.data.tiles import Tiles
from training.detector_losses import cascade_loss
from training.epochs import Course, Source
from training.importers.packages import CACHE
from training.models import mtcnn_tuned
from training.schedule import optimizer

VALIDATION_STEPS = 24
VALIDATION_SEED = 2024
_SHARES = tuple(name for name in Augmentation.model_fields if name.endswith("_share"))
STILL = dict.fromkeys(_SHARES, 0.0) | {"rotate": 0.0}
"""Validation crops are as served, but for the moved box."""


@dataclass(frozen=True)
class Learnt:
    """What a run learns from, what it is validated on, and how all of it is told apart from other data."""

    training: Source
    validation: list[tuple[ndarray, ndarray]]
    facts: dict[str, object]


def read(data: Path, found: Path | None, settings: StageConfig, faces: Path | None = None) -> Learnt:
    """The photographs and candidates, a part held out. Raises RunError where candidates are missing.

    `faces` is a folder of faces with 68 points, whose five are learnt beside MTFL's.
    """
    if settings.stage != "pnet" and found is None:
        raise RunError(f"{settings.name} needs --candidates, which training.propose makes")
    root = data / "wider"
    photos = scenes.read_wider(root, "train")
    out = np.array([scenes.held_out(s.name, settings.validation, settings.seed) for s in photos])
    inside, outside = np.flatnonzero(~out), np.flatnonzero(out)
    labels = [root / "wider_face_split" / "wider_face_train_bbx_gt.txt"]
    plain = settings.augment.model_copy(update=STILL)
    quiet = settings.model_copy(update={"steps": VALIDATION_STEPS, "augment": plain})
    if settings.stage == "pnet":
        training: Source = Tiles([photos[i] for i in inside], settings)
        validation: Tiles | CropBatches = Tiles([photos[i] for i in outside], quiet)
    else:
        assert found is not None
        labels.append(found)
        all_of, guesses = candidates.load(found)
        portraits = scenes.read_mtfl(data / "mtfl5", "training") if settings.kinds.points else []
        labels += [data / "mtfl5" / "training.txt"] if portraits else []
        if faces is not None:
            more = scenes.read_crops(faces / "train.tfrecord")
            guesses = np.concatenate([guesses, scenes.alike(portraits, guesses, more)])
            portraits += more
            labels.append(faces / "prepare.json")
        kept = np.array([scenes.held_out(p.name, settings.validation, settings.seed) for p in portraits])

        def batches(chosen: ndarray, held: bool, how: StageConfig) -> CropBatches:
            own = np.flatnonzero(kept == held) if portraits else np.empty(0, np.int64)
            faces = ([portraits[i] for i in own], guesses[own])
            return CropBatches([photos[i] for i in chosen], all_of.of(chosen), faces, how)

        training, validation = batches(inside, False, settings), batches(outside, True, quiet)
    facts: dict[str, object] = {
        "sources": ["wider", *(["mtfl5"] if len(labels) > 2 else []), *(["300w"] if faces else [])],
        "files": [path.name for path in labels],
        "sha256": scenes.data_hash(labels),
        "photographs": {"train": len(inside), "validation": len(outside)},
    }
    return Learnt(training, list(validation.epoch(0, VALIDATION_SEED)), facts)


def train(run: StageRun, settings: StageConfig, learnt: Learnt, folder: Path, resume: bool) -> Progress:
    """Trains to the settings' last epoch in `folder`; answers how it went.

    Raises FileExistsError where the folder holds a run and `resume` is not asked for, and RunError where
    it is, with other data.
    """
    epochs.check(folder, resume, learnt.facts["sha256"])
    keras.utils.set_random_seed(settings.seed)
    net = run.build()
    if settings.start_from == "imported" and not resume:
        mtcnn_tuned.begin(net, settings.stage, CACHE)
    elif settings.start_from and not resume:
        net.load_weights(folder.parent / settings.start_from / BEST_WEIGHTS)
    loss = cascade_loss(settings.hardest, settings.rivals, settings.box_weight, settings.points_weight)
    net.compile(optimizer(settings, learnt.training.steps), loss)
    course = Course(
        net,
        net,
        learnt.training,
        lambda: validate(net, learnt.validation, settings),
        {"data": learnt.facts},
        error="1 - average precision on validation",
    )
    return epochs.run(course, settings, folder, resume)


def validate(
    net: keras.Model, batches: list[tuple[ndarray, ndarray]], settings: StageConfig
) -> dict[str, float]:
    """The loss; 1 less average precision over windows or crops with a label; the boxes' mean IoU.

    O-Net's too: the mean error of its points over the distance of the eyes.
    """
    found = [np.asarray(net(images, training=False), np.float32) for images, _ in batches]
    loss = cascade_loss(settings.hardest, settings.rivals, settings.box_weight, settings.points_weight)
    losses = [float(loss(truth, out)) for (_, truth), out in zip(batches, found, strict=True)]
    truth = np.concatenate([t.reshape(-1, t.shape[-1]) for _, t in batches])
    out = np.concatenate([f.reshape(-1, f.shape[-1]) for f in found])
    known, near = truth[:, Label.FACE_WEIGHT] > 0, truth[:, Label.OFFSETS_WEIGHT] > 0
    hit = truth[known, Label.FACE] > 0
    ranked = Matched(out[known, Output.LOGIT], hit, np.zeros(len(hit), bool), int(hit.sum()))
    unit = np.tile(np.array([[0, 0, 1, 1]], np.float32), (int(near.sum()), 1))
    row = {
        "validation_loss": float(np.mean(losses)),
        "validation_error": 1 - average_precision([ranked]),
        "validation_iou": _mean_iou(unit + truth[near, Label.OFFSETS], unit + out[near, Output.OFFSETS]),
    }
    if truth.shape[-1] == Label.WIDTH_WITH_POINTS and truth[:, Label.POINTS_WEIGHT].any():
        labelled = truth[:, Label.POINTS_WEIGHT] > 0
        wanted = truth[labelled, Label.POINTS].reshape(-1, 5, 2)
        points = out[labelled, Output.POINTS].reshape(-1, 5, 2)
        apart = np.linalg.norm(wanted[:, 0] - wanted[:, 1], axis=1)
        row["validation_points"] = float(
            (np.linalg.norm(points - wanted, axis=2).mean(axis=1) / apart).mean()
        )
    return row


def _mean_iou(a: ndarray, b: ndarray) -> float:
    pairs = [boxes.iou(a[i : i + 1], b[i : i + 1])[0, 0] for i in range(min(len(a), 5000))]
    return float(np.mean(pairs)) if pairs else 0.0
