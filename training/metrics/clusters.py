"""Metrics of clusters."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray


class BCubed(NamedTuple):
    """B-cubed precision and recall (Bagga and Baldwin 1998): means over the faces.

    Attributes:
        precision: share of the faces in the cluster of a face that show its person.
        recall: share of the faces of its person that are in its cluster.
    """

    precision: float
    recall: float

    @property
    def f(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.precision * self.recall / (self.precision + self.recall)


def bcubed(clusters: Int[ndarray, " n"], people: Int[ndarray, " n"]) -> BCubed:
    """Return B-cubed precision and recall.

    Args:
        clusters: number of the cluster of each face; each face with a negative number is alone.
        people: number of the person of each face.
    """
    alone = clusters.max(initial=-1) + 1 + np.arange(len(clusters))
    sizes, of_clusters = _sizes(np.where(clusters < 0, alone, clusters))
    _, of_people = _sizes(people)
    together, _ = _sizes(of_clusters * (of_people.max() + 1) + of_people)
    return BCubed(float((together / sizes).mean()), float((together / _sizes(people)[0]).mean()))


def _sizes(groups: Int[ndarray, " n"]) -> tuple[Int[ndarray, " n"], Int[ndarray, " n"]]:
    """Return the size of the group of each face, and the groups as numbers from 0."""
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return sizes[numbers], numbers
