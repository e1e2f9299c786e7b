"""Clusters of faces: groups the faces of one person in many images, by average linkage.

docs/decisions/0041-clusters.md has the reasons, and docs/experiments/clusters.md the measurements.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float32, Int
from numpy import ndarray

_BLOCK_BYTES = 32 << 20
"""Memory of a block of similarities."""

_ROUNDING = 2e-6
"""Similarities that differ by less count as equal: products of float32 are no more exact."""

_GATHERED = 4
"""The rows of the candidates are copied only if at most one row in so many is a candidate's."""


def cluster(
    vectors: Float32[ndarray, "n d"],
    images: Int[ndarray, " n"],
    threshold: float,
    check: Callable[[], None] = lambda: None,
) -> Int[ndarray, " n"]:
    """Return the cluster of each face.

    Clusters are merged by descending mean similarity of their pairs of faces (average linkage), as long as it
    reaches the threshold, and as long as no two faces of one image would be in one cluster. The result does
    not depend on the order of the faces, except among equal similarities.

    The nearest neighbour chain (Murtagh 1983) finds the same clusters as the merges in descending order,
    because a merged cluster is never more similar to another one than both of its parts. This also holds with
    the restriction on images, if a forbidden pair counts as least similar.

    Args:
        vectors: vectors of length 1.
        images: the image that each face is in, as numbers from 0.
        threshold: minimum mean similarity of two clusters.
        check: called repeatedly; an error that it raises ends the computation.

    Returns:
        The number of the cluster of each face, from 0 by descending size; -1 for a face that is alone.
    """
    if len(vectors) == 0:
        return np.empty(0, np.int64)
    state = _Clusters(vectors, images, threshold, check)
    for start in range(len(vectors)):
        chain = [start] if state.owner[start] == start else []
        while chain:
            check()
            previous = chain[-2] if len(chain) > 1 else None
            nearest = state.nearest(chain[-1], previous)
            if nearest is None:
                chain.pop()
            elif nearest == previous:
                last = sorted((chain.pop(), chain.pop()))
                state.merge(*last)
                if not chain:
                    chain.append(last[0])
            else:
                chain.append(nearest)
    return _numbered(state.owner)


class _Clusters:
    """Clusters that are merged step by step. The name of a cluster is its first face.

    Attributes:
        owner: the cluster of each face.
    """

    def __init__(
        self,
        vectors: Float32[ndarray, "n d"],
        images: Int[ndarray, " n"],
        threshold: float,
        check: Callable[[], None],
    ) -> None:
        n = len(vectors)
        self.owner = np.arange(n)
        self._threshold = threshold
        self._images = images
        self._has_groups = len(np.unique(images)) < n
        self._means = vectors.astype(np.float32)
        self._sizes = np.ones(n, np.float32)
        # The mean similarity of two clusters reaches the threshold only if that of two of their faces does.
        self._similar = _similar(vectors, threshold, check)

    def nearest(self, cluster: int, previous: int | None) -> int | None:
        """Return the most similar cluster that a cluster may be merged with; None if there is none.

        Args:
            cluster: the cluster.
            previous: the cluster to return if it is as similar as the most similar one, or None. It has
                reached the threshold, by a similarity that may differ by rounding, and need not again.
        """
        n = len(self.owner)
        candidates = np.zeros(n, bool)
        candidates[self.owner[np.unpackbits(self._similar[cluster], count=n).view(bool)]] = True
        candidates[cluster] = False
        if self._has_groups:
            taken = np.zeros(self._images.max() + 1, bool)
            taken[self._images[self.owner == cluster]] = True
            candidates[self.owner[taken[self._images]]] = False
        if previous is not None:
            candidates[previous] = True
        others = np.flatnonzero(candidates)
        if len(others) == 0:
            return None
        mean = self._means[cluster]
        if len(others) * _GATHERED <= n:
            similarity = self._means[others] @ mean
        else:
            similarity = (self._means @ mean)[others]
        best = int(similarity.argmax())
        if previous is not None:
            place = int(np.searchsorted(others, previous))
            if similarity[place] >= similarity[best] - _ROUNDING:
                return previous
        return int(others[best]) if similarity[best] >= self._threshold - _ROUNDING else None

    def merge(self, first: int, second: int) -> None:
        """Merge the second cluster into the first one."""
        sizes = self._sizes[[first, second]]
        self._means[first] = sizes @ self._means[[first, second]] / sizes.sum()
        self._sizes[first] = sizes.sum()
        self._similar[first] |= self._similar[second]
        self.owner[self.owner == second] = first


def _similar(
    vectors: Float32[ndarray, "n d"], threshold: float, check: Callable[[], None]
) -> Bool[ndarray, "n b"]:
    """Return which pairs of faces reach the threshold, eight of them in each byte."""
    n = len(vectors)
    bits = np.empty((n, (n + 7) // 8), np.uint8)
    rows = max(1, _BLOCK_BYTES // (4 * n))
    lowest = np.float32(threshold - _ROUNDING)
    for start in range(0, n, rows):
        check()
        block = slice(start, start + rows)
        bits[block] = np.packbits(vectors[block] @ vectors.T >= lowest, axis=1)
    return bits


def _numbered(owner: Int[ndarray, " n"]) -> Int[ndarray, " n"]:
    """Return the clusters as numbers by descending size; of equal ones, that of the first face is first."""
    names, place, sizes = np.unique(owner, return_inverse=True, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    numbers = np.empty(len(names), np.int64)
    numbers[order] = np.arange(len(names))
    numbers[sizes == 1] = -1
    return numbers[place]
