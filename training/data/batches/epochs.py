"""Batches of a training set as a Keras dataset: each a function of the seed, the epoch and its index alone.

A resumed run therefore gets the batches that an uninterrupted run gets, with any number of loader threads.
"""

from abc import ABC, abstractmethod
from typing import Any

import keras
import numpy as np

from training.config.schema import RunConfig

Batch = tuple[Any, Any]
"""What a model takes (an array or a tuple of arrays) and its labels."""


class EpochBatches(keras.utils.PyDataset, ABC):  # type: ignore[misc] # keras has no types
    """The batches of one epoch of a run.

    Args:
        config: the run; its `seed` determines the batches.
        steps: batches per epoch.
        workers: threads that make batches in advance.
    """

    def __init__(self, config: RunConfig, steps: int, workers: int = 2) -> None:
        super().__init__(workers=workers, max_queue_size=6)
        self._seed = config.seed
        self._steps = steps
        self._epoch = -1  # none is selected yet
        self._plan: Any = None

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return self._steps

    def __getitem__(self, index: int) -> Batch:
        """Return a batch of the selected epoch; of the first one if none was selected."""
        if self._epoch < 0:
            self.set_epoch(0)
        return self.make(self._plan, np.random.default_rng((self._seed, self._epoch, index)), index)

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch, counted from 0, whose batches the dataset returns."""
        self._epoch = epoch
        self._plan = self.plan(np.random.default_rng((self._seed, epoch)))

    def plan(self, rng: np.random.Generator) -> Any:
        """Return what all batches of an epoch share, such as the order of the samples."""
        return None

    @abstractmethod
    def make(self, plan: Any, rng: np.random.Generator, index: int) -> Batch:
        """Return the batch with the given index, with random numbers from `rng` only."""
