"""The methods of the study of clusters, on faces that are easy to tell apart."""

import numpy as np
import pytest

from training.metrics.clusters import bcubed
from training.studies.clusters import METHODS, connected_components


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_clear_clusters(name: str) -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(6), 8)
    vectors = rng.normal(size=(6, 32))[people] + rng.normal(scale=0.2, size=(48, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert bcubed(METHODS[name](vectors.astype(np.float32), 0.6), people).f == 1


def test_components_are_connected_by_chains() -> None:
    angles = np.radians([0, 20, 40, 60, 120, 140])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert connected_components(vectors, 0.9).tolist() == [0, 0, 0, 0, 4, 4]
