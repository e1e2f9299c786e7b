"""The training and validation batches of a stage of the cascade, of labelled photos and portraits.

P-Net trains on tiles of the photos. R- and O-Net train on candidates from `training.mine_candidates`. A share
of the photos and portraits is held out for validation. All portraits of one photo are on the same side.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int
from numpy import ndarray

from training.config.origins import sources_of
from training.config.registry import RunError
from training.config.schema import Augmentation, StageConfig
from training.data.batches.crops import CropBatches
from training.data.batches.epochs import EpochBatches
from training.data.batches.tiles import TileBatches
from training.data.datasets import scenes
from training.data.datasets.scenes import Portrait, Scene
from training.data.datasets.splits import is_held_out
from training.data.storage import candidates
from training.data.storage.data_hash import hash_files
from training.data.storage.prepared import REPORT, read_report

VALIDATION_STEPS = 24
VALIDATION_SEED = 2024

_SHARES = tuple(name for name in Augmentation.model_fields if name.endswith("_share"))
_NO_APPEARANCE = dict.fromkeys(_SHARES, 0.0) | {"rotate": 0.0}
"""Validation crops are augmented by shift and scale alone."""

_WIDER_NAME = re.compile(r"\d+_[A-Z][A-Za-z_]*_\d+_\d+\.jpg$")
"""Names of WIDER FACE's files, such as `0_Parade_marchingband_1_849.jpg`."""

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
        RunError: R- or O-Net has no candidates, or they are of other photos or portraits; P-Net has some;
            there are too few photos.
        BadLabelFile: a label file is malformed.
        BadImage: an image cannot be read.
        BadPreparedData: the candidates or the faces are damaged, or of another kind.
        FileNotFoundError: a file is missing.
    """
    if config.stage == "pnet" and (candidates_file or faces):
        raise RunError(f"{config.name} is a P-Net, which needs no candidates and no faces. Leave them out.")
    if config.stage != "pnet" and candidates_file is None:
        raise RunError(
            f"{config.name} needs candidates. Run training.mine_candidates and give its file by --candidates."
        )
    root = data / "wider"
    photos = scenes.read_wider(root, "train")
    held_out = np.array([is_held_out(p.name, config.validation_share, config.seed) for p in photos])
    chosen = {"train": np.flatnonzero(~held_out), "validation": np.flatnonzero(held_out)}
    for split, index in chosen.items():
        if not any((~photos[i].ignored).any() for i in index):
            raise RunError(
                f"{len(index)} of the {len(photos)} photos of {root} are for {split}, and none of them "
                "has a face of "
                f"{scenes.MIN_FACE_HEIGHT:g} pixels or more. Give --set validation_share or --seed, or "
                "add photos."
            )
    quiet = config.model_copy(
        update={
            "steps": VALIDATION_STEPS,
            "seed": VALIDATION_SEED,
            "augment": config.augment.model_copy(update=_NO_APPEARANCE),
        }
    )
    files = [root / "wider_face_split" / "wider_face_train_bbx_gt.txt"]
    if candidates_file is None:
        portraits = _read_portraits(data, config, None, faces)
        files += portraits.files
        training, validation = (
            TileBatches(
                [photos[i] for i in chosen[split]], settings, portraits.part(split == "validation", config)[0]
            )
            for split, settings in (("train", config), ("validation", quiet))
        )
    else:
        boxes_of_photos, portrait_boxes = candidates.load(candidates_file)
        if boxes_of_photos.photo.max(initial=0) >= len(photos):
            raise RunError(
                f"{candidates_file} holds candidates of {boxes_of_photos.photo.max() + 1} photos or more, "
                f"and {root} has {len(photos)}. Run training.mine_candidates with the same --data."
            )
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
        "sources": [_source_of(photos, data), *portraits.sources],
        "files": [path.name for path in files],
        "sha256": hash_files(files),
        "photographs": {split: len(index) for split, index in chosen.items()},
    }
    return CascadeData(training, [validation[i] for i in range(len(validation))], facts)


def _source_of(photos: list[Scene], data: Path) -> str:
    """Return the name of the dataset of the photos: WIDER FACE's files are recognised by their names."""
    is_wider = any(_WIDER_NAME.match(photo.name) for photo in photos)
    return "wider" if is_wider else f"boxes:{data.resolve().name}"


@dataclass(frozen=True)
class _Portraits:
    """Portraits with their boxes, the label files they come from, and the names of their datasets."""

    portraits: list[Portrait]
    boxes: Float32[ndarray, "m 4"]
    files: list[Path]
    sources: tuple[str, ...]

    def part(self, held_out: bool, config: StageConfig) -> tuple[list[Portrait], Float32[ndarray, "k 4"]]:
        """Return the portraits of training or of validation with their boxes; no photo has some of both."""
        index = self._index(held_out, config)
        return [self.portraits[i] for i in index], self.boxes[index]

    def _index(self, held_out: bool, config: StageConfig) -> Int[ndarray, " k"]:
        inside = [
            is_held_out(p.photo or p.name, config.validation_share, config.seed) == held_out
            for p in self.portraits
        ]
        return np.flatnonzero(np.array(inside, bool))


def _read_portraits(
    data: Path, config: StageConfig, portrait_boxes: Float32[ndarray, "m 4"] | None, faces: Path | None
) -> _Portraits:
    """Read the portraits, if the config has a share of them.

    Args:
        data: the folder that holds `mtfl5/`.
        config: the run.
        portrait_boxes: the candidate of each portrait; None for P-Net, which has no candidates.
        faces: a prepared folder of crops with 68 points.

    Returns:
        The portraits, with empty boxes if there are no candidates.

    Raises:
        RunError: the candidates are of other portraits.
    """
    if not config.sample_shares.portraits or (portrait_boxes is None and not config.has_points):
        return _Portraits([], np.zeros((0, 4), np.float32), [], ())
    portraits = scenes.read_portraits(data, faces)
    if portrait_boxes is None:
        portrait_boxes = np.zeros((len(portraits), 4), np.float32)
    if len(portraits) != len(portrait_boxes):
        raise RunError(
            f"The candidates have boxes of {len(portrait_boxes)} portraits, and there are {len(portraits)}. "
            "Give training.mine_candidates the same --data and --faces."
        )
    files, sources = [], []
    if (mtfl := data / "mtfl5" / "training.txt").exists():
        files, sources = [mtfl], ["mtfl5"]
    if faces:
        files.append(faces / REPORT)
        sources += sources_of(read_report(faces, "landmarks"))
    return _Portraits(portraits, portrait_boxes, files, tuple(dict.fromkeys(sources)))
