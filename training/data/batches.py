"""Crops to the arrays a net eats: augmented by seed, epoch and place for training, plain for validation."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from training import augment
from training.config import TrainConfig
from training.data.crops import Crops

T = TypeVar("T")

Batch = tuple[Float32[ndarray, "b size size 3"], Float32[ndarray, "b k2"]]
"""Pictures of 0..255, and points in unit coordinates."""


class Batches:
    """A training set's batches, each a function of the seed, the epoch and the batch's number alone.

    So a resumed run sees what an unbroken one would have seen, however many threads make the batches.
    """

    def __init__(self, crops: Crops, config: TrainConfig) -> None:
        self._crops = crops
        self._config = config
        self._to_input = crops.to_input(config.size)
        self.steps = max(1, len(crops) // config.batch)

    def __len__(self) -> int:
        """The number of faces."""
        return len(self._crops)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """One pass in a new order; what does not fill a batch waits for another epoch."""
        order = np.random.default_rng((self._config.seed, epoch)).permutation(len(self._crops))

        def make(step: int) -> Batch:
            chosen = order[step * self._config.batch : (step + 1) * self._config.batch]
            return self._batch(chosen, np.random.default_rng((self._config.seed, epoch, step)))

        return ahead(make, self.steps)

    def _batch(self, chosen: ndarray, rng: np.random.Generator) -> Batch:
        config = self._config
        images = np.empty((len(chosen), config.size, config.size, 3), np.float32)
        targets = np.empty((len(chosen), *self._crops.points.shape[1:]), np.float32)
        for row, i in enumerate(chosen):
            matrix, flipped = augment.geometry(rng, config.augment, self._to_input, config.size)
            image = augment.warp(self._crops.images[i], matrix, config.size)
            edges = augment.edges(rng, config.augment, self._crops.corners[i])
            if edges is not None:
                image = augment.blacken(image, edges, matrix)
            images[row] = augment.appearance(rng, config.augment, image)
            targets[row] = augment.place(self._crops.points[i], matrix, flipped, config.scheme)
        return images, to_unit(targets, config.size)


def plain(crops: Crops, size: int) -> tuple[UInt8[ndarray, "n size size 3"], Float32[ndarray, "n k2"]]:
    """The net's pictures as serving cuts them, and the points in unit coordinates."""
    matrix = crops.to_input(size).astype(np.float64)
    images = np.stack(
        [
            augment.blacken(augment.warp(image, matrix, size), corners, matrix)
            for image, corners in zip(crops.images, crops.corners, strict=True)
        ]
    )
    moved = crops.points @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)
    return images, to_unit(moved, size)


def to_unit(points: Float32[ndarray, "n k 2"], size: int) -> Float32[ndarray, "n k2"]:
    """Pixels of a `size` x `size` picture as flattened unit coordinates, edges at 0 and 1."""
    return ((points + np.float32(0.5)) / np.float32(size)).reshape(len(points), -1)


def from_unit(unit: Float32[ndarray, "n k2"], size: int) -> Float32[ndarray, "n k 2"]:
    """Flattened unit coordinates as pixels."""
    return unit.reshape(len(unit), -1, 2) * np.float32(size) - np.float32(0.5)


def ahead(make: Callable[[int], T], count: int, depth: int = 6) -> Iterator[T]:
    """`make(0)`, `make(1)`, ... in order, up to `depth` of them made in a thread before they are wanted."""
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(make, i) for i in range(min(depth, count)))
        for i in range(count):
            if i + depth < count:
                waiting.append(pool.submit(make, i + depth))
            yield waiting.popleft().result()
