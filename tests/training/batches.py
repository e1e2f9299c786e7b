"""Batches of a set, and assertions on arrays."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy import ndarray

from training.data.batches.epochs import Batch, EpochBatches


def batches_of(dataset: EpochBatches, epoch: int) -> list[Batch]:
    """Return all batches of an epoch."""
    dataset.set_epoch(epoch)
    return [dataset[i] for i in range(len(dataset))]


def arrays_of(batches: Iterable[Batch]) -> list[ndarray]:
    """Return the arrays of batches, with those of a tuple one after the other."""
    return [np.asarray(array) for inputs, labels in batches for array in (*_arrays(inputs), labels)]


def _arrays(inputs: Any) -> tuple[Any, ...]:
    return inputs if isinstance(inputs, tuple) else (inputs,)


def assert_equal(left: Iterable[ndarray], right: Iterable[ndarray]) -> None:
    """Assert that two lists have equal arrays in the same order."""
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


def differ(left: Iterable[ndarray], right: Iterable[ndarray]) -> bool:
    """Return whether any array differs from that at the same place of the other list."""
    return any(not np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def assert_depend_on_seed_and_epoch_alone(dataset: EpochBatches, other_seed: EpochBatches) -> None:
    """Assert that an epoch repeats itself, also by single batches, and that epochs and seeds differ."""
    first = arrays_of(batches_of(dataset, 3))
    later = arrays_of(batches_of(dataset, 4))
    assert_equal(first, arrays_of(batches_of(dataset, 3)))
    last = dataset[len(dataset) - 1]
    assert_equal(first[-len(arrays_of([last])) :], arrays_of([last]))
    assert differ(first, later)
    assert differ(first, arrays_of(batches_of(other_seed, 3)))
