"""Prepared sets of synthetic faces with 68 points."""

from pathlib import Path

import numpy as np

from training.data.storage import landmark_crops
from training.data.storage.landmark_crops import LandmarkCrops


def synthetic_faces(count: int, seed: int, side: int = 70, span: int = 40) -> LandmarkCrops:
    """Return noise with random points."""
    rng = np.random.default_rng(seed)
    return LandmarkCrops(
        images=rng.integers(0, 256, (count, side, side, 3), np.uint8),
        points=rng.uniform(15, 55, (count, 68, 2)).astype(np.float32),
        five=rng.uniform(20, 50, (count, 5, 2)).astype(np.float32),
        transforms=rng.normal(0, 1, (count, 2, 3)).astype(np.float32),
        corners=np.tile(np.array([[-5, -5], [75, -5], [75, 75], [-5, 75]], np.float32), (count, 1, 1)),
        detected=rng.random(count) < 0.5,
        names=tuple(f"synthetic/{i}" for i in range(count)),
        photos=tuple(f"p{i // 2}" for i in range(count)),
        span=span,
    )


def write_prepared(folder: Path, train: LandmarkCrops, validation: LandmarkCrops) -> Path:
    """Write a set as `training.prepare landmarks` does; return its folder."""
    landmark_crops.save(folder / "train.tfrecord", train)
    landmark_crops.save(folder / "validation.tfrecord", validation)
    (folder / "prepare.json").write_text("{}")
    return folder
