"""Calibration of an embedder on all pairs of the faces of some people: their rates, and thresholds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.embedder import Embedder

FARS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
"""False accept rates of the calibrated thresholds."""

DEFAULT_FAR = 1e-3
"""False accept rate of the default threshold."""

MIN_PAIRS_OF_PEOPLE = 10
"""A rate is measured if the threshold accepts impostor pairs of at least so many pairs of people."""

STEPS = 10_000
"""Thresholds are multiples of 1 / STEPS."""

_ROUNDS = 1000
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Rate:
    """A measured rate.

    Attributes:
        value: the rate; NaN if there are no pairs.
        low: lower end of its 95% interval, by bootstrap over people.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MeasuredRates:
    """The rates of some people at one threshold.

    Attributes:
        far: false accept rate.
        tar: true accept rate.
        pairs_of_people: number of pairs of people of whom an impostor pair is accepted.
    """

    far: Rate
    tar: Rate
    pairs_of_people: int


class Pairs:
    """All pairs of the faces of some people.

    Args:
        embedder: compares the faces.
        vectors: an output of `Embedder.represent` for each face (n, d); NaN for an undetected face. A genuine
            pair with it counts as rejected, an impostor pair does not count.
        people: the person of each face.

    Attributes:
        people: number of people.
        faces: number of detected faces.
        order: the index in `vectors` of each row of `similarity`; faces of one person follow each other.
        similarity: similarities of all pairs (n, n); NaN for an undetected face and on the diagonal.
        genuine: similarities of the genuine pairs (g,); NaN for an undetected face.
        impostors: similarities of the impostor pairs (i,), ascending.
    """

    def __init__(self, embedder: Embedder, vectors: Float32[ndarray, "n d"], people: ndarray) -> None:
        self.order = np.argsort(people, kind="stable")
        vectors = vectors[self.order]
        _, self._starts, self._sizes = np.unique(people[self.order], return_index=True, return_counts=True)
        known = ~np.isnan(vectors[:, 0])
        self._known = np.add.reduceat(known, self._starts, dtype=np.int64)
        self.people, self.faces = len(self._starts), int(known.sum())
        self.similarity = _similarities(embedder, vectors)
        genuine, impostors = [], []
        for start, end in self._ranges():
            rows, columns = np.triu_indices(end - start, 1)
            genuine.append(self.similarity[start:end, start:end][rows, columns])
            others = self.similarity[start:end, end:].ravel()
            impostors.append(others[~np.isnan(others)])
        self.genuine = np.concatenate(genuine)
        self.impostors = np.sort(np.concatenate(impostors))

    def far(self, threshold: float) -> float:
        """Return the share of the impostor pairs that a threshold accepts; NaN if there are none."""
        count = len(self.impostors)
        accepted = count - int(np.searchsorted(self.impostors, np.float32(threshold)))
        return accepted / count if count else math.nan

    def measure(self, threshold: float) -> MeasuredRates:
        """Return the rates at a threshold, with intervals by bootstrap over people.

        Each round draws as many people as there are, with replacement. A pair of images counts as often as
        both of its people were drawn; two copies of one person are no impostor pair.
        """
        accepted = self._accepted(threshold)
        genuine, impostors = np.diag(accepted).copy(), accepted
        np.fill_diagonal(impostors, 0)
        sizes, known = self._sizes.astype(np.float64), self._known.astype(np.float64)
        all_genuine = sizes * (sizes - 1) / 2
        drawn = np.random.default_rng(0).multinomial(
            self.people, np.full(self.people, 1 / self.people), size=_ROUNDS
        )
        weights = drawn.astype(np.float32)
        far_rounds = _ratio(
            ((weights @ impostors) * weights).sum(axis=1, dtype=np.float64),
            (drawn @ known) ** 2 - drawn**2 @ known**2,
        )
        return MeasuredRates(
            far=_rate(self.far(threshold), far_rounds),
            tar=_rate(
                float(genuine.sum() / all_genuine.sum()) if len(self.genuine) else math.nan,
                _ratio(drawn @ genuine.astype(np.float64), drawn @ all_genuine),
            ),
            pairs_of_people=int(np.count_nonzero(impostors)) // 2,
        )

    def most_similar_impostors(self, count: int) -> list[tuple[float, int, int]]:
        """Return the impostor pairs with the highest similarities, at most one of each pair of people.

        Args:
            count: number of pairs.

        Returns:
            Similarity and both indices in `vectors`, by descending similarity.
        """
        rows = np.fmax.reduceat(self.similarity, self._starts, axis=0)
        highest = np.fmax.reduceat(rows, self._starts, axis=1)
        highest = np.triu(
            np.nan_to_num(highest, nan=-2) + 2, 1
        )  # similarities are above 0 now, all else is 0
        pairs = []
        for flat in np.argsort(highest, axis=None)[::-1][:count]:
            (top, bottom), (left, right) = (self._ranges()[i] for i in divmod(int(flat), self.people))
            if highest.flat[flat] > 0:
                block = self.similarity[top:bottom, left:right]
                row, column = divmod(int(np.nanargmax(block)), right - left)
                a, b = self.order[top + row], self.order[left + column]
                pairs.append((float(block[row, column]), int(a), int(b)))
        return pairs

    def _accepted(self, threshold: float) -> Float32[ndarray, "p p"]:
        """Return the number of accepted pairs of each pair of people; on the diagonal the genuine ones."""
        hits = self.similarity >= np.float32(threshold)
        by_person = np.add.reduceat(hits, self._starts, axis=1, dtype=np.float32)
        counts = np.add.reduceat(by_person, self._starts, axis=0, dtype=np.float32)
        np.fill_diagonal(counts, np.diag(counts) / 2)  # each genuine pair is in the matrix twice
        return counts

    def _ranges(self) -> list[tuple[int, int]]:
        return [(int(s), int(s + n)) for s, n in zip(self._starts, self._sizes, strict=True)]


def weights_of(analyzer: Analyzer, embedder: str) -> dict[str, str]:
    """Return the SHA-256 of each file of the models that make an embedder's vectors, by file name.

    Args:
        analyzer: the models.
        embedder: name of the embedder.
    """
    entries = {model.entry.name: model.entry for model in analyzer.models}
    used = {embedder, *entries[embedder].needs, analyzer.detector(None).name}
    return {f.file: f.sha256 for name, entry in entries.items() if name in used for f in entry.files}


def threshold_at_far(populations: Sequence[Pairs], far: float) -> float:
    """Return the lowest threshold at which the FAR of no population exceeds `far`."""
    low, high = -STEPS, STEPS + 1  # the rate of the second is 0
    while high - low > 1:
        middle = (low + high) // 2
        if max(pairs.far(middle / STEPS) for pairs in populations) <= far:
            high = middle
        else:
            low = middle
    return high / STEPS


def _similarities(embedder: Embedder, vectors: Float32[ndarray, "n d"]) -> Float32[ndarray, "n n"]:
    """Return the similarities of all pairs; NaN for an undetected face and on the diagonal."""
    n = len(vectors)
    if embedder.spec.metric == "cosine":
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        similarity = np.clip(unit @ unit.T, -1, 1)
    else:
        similarity = np.full((n, n), np.nan, np.float32)
        known = np.flatnonzero(~np.isnan(vectors[:, 0]))
        for place, i in enumerate(known[:-1]):
            others = vectors[known[place + 1 :]]
            values = embedder.compare(np.broadcast_to(vectors[i], others.shape), others)
            similarity[i, known[place + 1 :]] = similarity[known[place + 1 :], i] = values
    np.fill_diagonal(similarity, np.nan)
    return similarity


def _ratio(part: ndarray, whole: ndarray) -> ndarray:
    """Return the quotients of counts; NaN for a whole of 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _rate(value: float, rounds: Float64[ndarray, " r"]) -> Rate:
    known = rounds[~np.isnan(rounds)]
    low, high = np.percentile(known, _TAILS) if len(known) else (np.nan, np.nan)
    return Rate(value, float(low), float(high))
