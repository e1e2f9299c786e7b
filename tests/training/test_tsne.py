import numpy as np
import pytest

from training.tsne import affinities, tsne


def clusters() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 15)
    return (rng.normal(0, 0.1, (45, 8)) + 2 * np.eye(8)[labels]).astype(np.float32), labels


def test_affinities_are_symmetric_and_have_the_perplexity() -> None:
    vectors, _ = clusters()
    found = affinities(np.square(vectors[:, None] - vectors[None]).sum(axis=2).astype(np.float64), 8.0)
    np.testing.assert_allclose(found, found.T)
    assert found.sum() == pytest.approx(1)
    assert (np.diag(found) == 0).all()
    rows = found / found.sum(axis=1, keepdims=True)
    perplexity = np.exp(-(rows * np.log(np.maximum(rows, 1e-300))).sum(axis=1))
    assert np.median(perplexity) == pytest.approx(8, rel=0.3)


def test_clusters_stay_apart_in_the_plane() -> None:
    vectors, labels = clusters()
    at = tsne(vectors, steps=300)
    assert at.shape == (45, 2)
    distance = np.linalg.norm(at[:, None] - at[None], axis=2) + np.where(np.eye(45), np.inf, 0)
    assert (labels[distance.argmin(axis=1)] == labels).all()
    np.testing.assert_array_equal(at, tsne(vectors, steps=300))
