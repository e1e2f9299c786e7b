"""Batches for landmark nets: augmented crops for training, the served crops for validation."""

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from training.config.registry import RunError
from training.config.schema import LandmarkConfig
from training.data.batches import augment
from training.data.batches.epochs import EpochBatches
from training.data.storage.landmark_crops import LandmarkCrops

Batch = tuple[Float32[ndarray, "b size size 3"], Float32[ndarray, "b k2"]]
"""Images in 0..255 and points in unit coordinates."""


class LandmarkBatches(EpochBatches):
    """The augmented batches of a training set, in a new random order each epoch.

    Samples that do not fill a batch are left out of the epoch.

    Raises:
        RunError: the set has fewer faces than a batch.
    """

    def __init__(self, crops: LandmarkCrops, config: LandmarkConfig, workers: int = 2) -> None:
        if len(crops) < config.batch:
            raise RunError(
                f"The training set has {len(crops)} faces, fewer than a batch of {config.batch}. Give "
                f"--set batch={len(crops)} or less, or add faces."
            )
        super().__init__(config, len(crops) // config.batch, workers)
        self._crops = crops
        self._config = config
        self._to_input = crops.to_input(config.size)

    def plan(self, rng: np.random.Generator) -> ndarray:
        """Return the order of the samples in the epoch."""
        return rng.permutation(len(self._crops))

    def make(self, plan: ndarray, rng: np.random.Generator, index: int) -> Batch:
        """Return a batch: images (b, size, size, 3) and unit coordinates (b, 2k)."""
        config = self._config
        chosen = plan[index * config.batch : (index + 1) * config.batch]
        images = np.empty((len(chosen), config.size, config.size, 3), np.float32)
        targets = np.empty((len(chosen), *self._crops.points.shape[1:]), np.float32)
        for row, i in enumerate(chosen):
            matrix, flipped = augment.random_transform(rng, config.augment, self._to_input, config.size)
            image = augment.warp(self._crops.images[i], matrix, config.size)
            corners = augment.photo_corners(rng, config.augment, self._crops.corners[i])
            if corners is not None:
                image = augment.blacken(image, corners, matrix)
            images[row] = augment.appearance(rng, config.augment, image)
            targets[row] = augment.move_points(self._crops.points[i], matrix, flipped, config.scheme)
        return images, to_unit(targets, config.size)


def served_crops(
    crops: LandmarkCrops, size: int
) -> tuple[UInt8[ndarray, "n size size 3"], Float32[ndarray, "n k2"]]:
    """Return the images that serving gives the net, and the labels in unit coordinates."""
    matrix = crops.to_input(size).astype(np.float64)
    images = np.stack(
        [
            augment.blacken(augment.warp(image, matrix, size), corners, matrix)
            for image, corners in zip(crops.images, crops.corners, strict=True)
        ]
    )
    points = crops.points @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)
    return images, to_unit(points, size)


def to_unit(points: Float32[ndarray, "n k 2"], size: int) -> Float32[ndarray, "n k2"]:
    """Return pixels of an image of `size` x `size` as flat unit coordinates: its edges are 0 and 1."""
    return ((points + np.float32(0.5)) / np.float32(size)).reshape(len(points), -1)


def from_unit(unit: Float32[ndarray, "n k2"], size: int) -> Float32[ndarray, "n k 2"]:
    """Return flat unit coordinates as pixels of an image of `size` x `size`."""
    return unit.reshape(len(unit), -1, 2) * np.float32(size) - np.float32(0.5)
