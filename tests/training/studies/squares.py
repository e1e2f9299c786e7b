"""Squares and labelled faces for the tests of studies."""

import numpy as np
from numpy import ndarray

from training.data.datasets.landmark_sets import Sample


def squares(count: int, seed: int) -> ndarray:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 100, (count, 2))
    return np.concatenate([low, low + rng.uniform(50, 90, (count, 1))], axis=1).astype(np.float32)


def samples(count: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        Sample(
            f"s{i}",
            f"p{i}",
            rng.integers(0, 256, (150, 140, 3), np.uint8),
            rng.uniform(40, 100, (68, 2)).astype(np.float32),
            "ibug68",
            "train",
        )
        for i in range(count)
    ]
