"""t-SNE (van der Maaten & Hinton, 2008): vectors laid out in the plane so that neighbours stay neighbours."""

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

PERPLEXITY = 20.0
_EXAGGERATED, _EXAGGERATION = 100, 12.0


def tsne(vectors: Float32[ndarray, "n d"], steps: int = 500, seed: int = 0) -> Float64[ndarray, "n 2"]:
    """The exact method, by gradient descent with momentum; seconds for a few hundred vectors."""
    x = vectors.astype(np.float64)
    wanted = affinities(np.square(x[:, None] - x[None]).sum(axis=2))
    rng = np.random.default_rng(seed)
    at = rng.normal(0, 1e-4, (len(x), 2))
    speed, gain = np.zeros_like(at), np.ones_like(at)
    rate = max(len(x) / _EXAGGERATION / 4, 50.0)
    for step in range(steps):
        factor, momentum = (_EXAGGERATION, 0.5) if step < _EXAGGERATED else (1.0, 0.8)
        near = 1 / (1 + np.square(at[:, None] - at[None]).sum(axis=2))
        np.fill_diagonal(near, 0)
        pull = (factor * wanted - near / near.sum()) * near
        slope = 4 * (pull.sum(axis=1)[:, None] * at - pull @ at)
        gain = np.maximum(np.where(np.sign(slope) == np.sign(speed), gain * 0.8, gain + 0.2), 0.01)
        speed = momentum * speed - rate * gain * slope
        at = at + speed
        at -= at.mean(axis=0)
    return at


def affinities(squared: Float64[ndarray, "n n"], perplexity: float = PERPLEXITY) -> Float64[ndarray, "n n"]:
    """How likely two vectors are neighbours: symmetric, summing to 1, each with about `perplexity`."""
    n = len(squared)
    target = np.log(min(perplexity, (n - 1) / 3))
    low, high, sharp = np.zeros(n), np.full(n, np.inf), 1 / np.maximum(squared.mean(axis=1), 1e-12)
    for _ in range(60):
        kernel = np.exp(-(squared - np.partition(squared, 1, axis=1)[:, 1:2]) * sharp[:, None])
        np.fill_diagonal(kernel, 0)
        share = kernel / kernel.sum(axis=1, keepdims=True)
        entropy = -(share * np.log(np.maximum(share, 1e-300))).sum(axis=1)
        wide = entropy > target
        low, high = np.where(wide, sharp, low), np.where(wide, high, sharp)
        sharp = np.where(np.isinf(high), sharp * 2, (low + high) / 2)
    both = share + share.T
    return both / both.sum()
