"""Training of one stage of the cascade on WIDER FACE's photos and MTFL's portraits.

P-Net trains on tiles of the photos. R- and O-Net train on candidates from `training.mine_candidates`. The
best weights are chosen on windows or crops of photos that are held out, by the config's `choose_by`.
"""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from jaxtyping import Bool, Float32, Int
from numpy import ndarray

from app.vision import boxes
from training.config.columns import CascadeLabel, CascadeOutput
from training.config.registry import BEST_WEIGHTS, Run, RunError
from training.config.schema import Augmentation, StageConfig
from training.data.batches.crops import CropBatches
from training.data.batches.epochs import EpochBatches
from training.data.batches.tiles import TileBatches
from training.data.datasets import scenes
from training.data.datasets.scenes import Portrait
from training.data.datasets.splits import is_held_out
from training.data.storage import candidates
from training.data.storage.data_hash import hash_files
from training.engine.checkpoints import LogRow, Progress
from training.engine.fit import TrainingJob, fit, prepare_folder
from training.engine.optimizer import optimizer
from training.importers.mtcnn import load_into_trainable
from training.importers.packages import CACHE
from training.losses.detection import cascade_loss
from training.metrics.detection import Matches, average_precision, false_positive_rate

VALIDATION_STEPS = 24
VALIDATION_SEED = 2024
MIN_RECALL = 0.95
"""Share of the faces' windows or crops that the threshold of the logged false positive rate keeps."""

MAX_IOU_PAIRS = 5000
"""Validation boxes whose mean IoU is logged."""

_SHARES = tuple(name for name in Augmentation.model_fields if name.endswith("_share"))
_NO_APPEARANCE = dict.fromkeys(_SHARES, 0.0) | {"rotate": 0.0}
"""Validation crops are augmented by shift and scale alone."""

LabelledBatch = tuple[ndarray, ndarray]


@dataclass(frozen=True)
class CascadeData:
    """The training batches and the validation batches of a stage, and what `run.json` says about them."""

    training: EpochBatches
    validation: list[LabelledBatch]
    facts: dict[str, object]


def read(
    data: Path, config: StageConfig, candidates_file: Path | None = None, faces: Path | None = None
) -> CascadeData:
    """Read the photos and candidates of a stage, with a share held out for validation.

    Args:
        data: the folder that holds `wider/` and `mtfl5/`.
        config: the run.
        candidates_file: R- and O-Net: the file that `training.mine_candidates` wrote.
        faces: O-Net: a prepared folder of crops with 68 points, whose five points are used besides MTFL's.

    Returns:
        The training batches, the validation batches, and what `run.json` says about them.

    Raises:
        RunError: R- or O-Net has no candidates, or they are of other portraits.
        FileNotFoundError: a file is missing.
    """
    if config.stage == "pnet":
        candidates_file = None
    elif candidates_file is None:
        raise RunError(
            f"{config.name} needs candidates. Run training.mine_candidates and give its file by --candidates."
        )
    root = data / "wider"
    photos = scenes.read_wider(root, "train")
    held_out = np.array([is_held_out(p.name, config.validation_share, config.seed) for p in photos])
    chosen = {"train": np.flatnonzero(~held_out), "validation": np.flatnonzero(held_out)}
    quiet = config.model_copy(
        update={
            "steps": VALIDATION_STEPS,
            "seed": VALIDATION_SEED,
            "augment": config.augment.model_copy(update=_NO_APPEARANCE),
        }
    )
    files = [root / "wider_face_split" / "wider_face_train_bbx_gt.txt"]
    if candidates_file is None:
        training: EpochBatches = TileBatches([photos[i] for i in chosen["train"]], config)
        validation: EpochBatches = TileBatches([photos[i] for i in chosen["validation"]], quiet)
    else:
        boxes_of_photos, portrait_boxes = candidates.load(candidates_file)
        portraits = _read_portraits(data, config, portrait_boxes, faces)
        files += [candidates_file, *portraits.files]
        training, validation = (
            CropBatches(
                [photos[i] for i in chosen[split]],
                boxes_of_photos.select(chosen[split]),
                portraits.part(split == "validation", config),
                settings,
            )
            for split, settings in (("train", config), ("validation", quiet))
        )
    facts: dict[str, object] = {
        "sources": ["wider", *(["mtfl5"] if len(files) > 2 else []), *(["300w"] if faces else [])],
        "files": [path.name for path in files],
        "sha256": hash_files(files),
        "photographs": {split: len(index) for split, index in chosen.items()},
    }
    return CascadeData(training, [validation[i] for i in range(len(validation))], facts)


@dataclass(frozen=True)
class _Portraits:
    """Portraits with their boxes, and the label files they come from."""

    portraits: list[Portrait]
    boxes: Float32[ndarray, "m 4"]
    files: list[Path]

    def part(self, held_out: bool, config: StageConfig) -> tuple[list[Portrait], Float32[ndarray, "k 4"]]:
        """Return the portraits of training or of validation with their boxes."""
        index = self._index(held_out, config)
        return [self.portraits[i] for i in index], self.boxes[index]

    def _index(self, held_out: bool, config: StageConfig) -> Int[ndarray, " k"]:
        inside = [
            is_held_out(p.name, config.validation_share, config.seed) == held_out for p in self.portraits
        ]
        return np.flatnonzero(np.array(inside, bool))


def _read_portraits(
    data: Path, config: StageConfig, portrait_boxes: Float32[ndarray, "m 4"], faces: Path | None
) -> _Portraits:
    if not config.sample_shares.portraits:
        return _Portraits([], portrait_boxes[:0], [])
    portraits = scenes.read_portraits(data, faces)
    if len(portraits) != len(portrait_boxes):
        raise RunError(
            f"The candidates have boxes of {len(portrait_boxes)} portraits, and there are {len(portraits)}. "
            "Give training.mine_candidates the same --data and --faces."
        )
    files = [data / "mtfl5" / "training.txt", *([faces / "prepare.json"] if faces else [])]
    return _Portraits(portraits, portrait_boxes, files)


def train(run: Run, config: StageConfig, data: CascadeData, folder: Path, resume: bool) -> Progress:
    """Train one stage of the cascade.

    Args:
        run: builds the net.
        config: the run's config, possibly with changes.
        data: what `read` returned.
        folder: the folder of the run.
        resume: continue the run in `folder`.

    Returns:
        The progress of the run.

    Raises:
        FileExistsError: the folder holds a run, and `resume` is not set.
        FileNotFoundError: the run to continue or the run of `start_from` is missing.
        RunError: the run in the folder was trained on other data.
    """
    prepare_folder(folder, resume, data.facts["sha256"])
    keras.utils.set_random_seed(config.seed)
    net = run.build()
    if config.start_from == "imported" and not resume:
        load_into_trainable(net, config.stage, CACHE)
    elif config.start_from and not resume:
        net.load_weights(folder.parent / config.start_from / BEST_WEIGHTS)
    net.compile(optimizer(config, len(data.training)), cascade_loss(config))
    job = TrainingJob(
        net,
        net,
        data.training,
        lambda: validate(net, data.validation, config),
        {"data": data.facts},
        choose_by=config.choose_by,
        error_label="1 - average precision on validation",
    )
    return fit(job, config, folder, resume)


def validate(net: keras.Model, batches: list[LabelledBatch], config: StageConfig) -> LogRow:
    """Return loss, errors of the score, mean IoU of the boxes, and O-Net's points error.

    The errors of the score are 1 - average precision, and the false positive rate at a recall of 0.95. The
    points error is the mean distance over the eye distance.
    """
    outputs = [np.asarray(net(images, training=False), np.float32) for images, _ in batches]
    loss = cascade_loss(config)
    losses = [float(loss(labels, out)) for (_, labels), out in zip(batches, outputs, strict=True)]
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
