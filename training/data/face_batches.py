"""Faces to the batches that nets for embeddings learn from: by person, by people and pictures, by pairs.

Every batch is a function of the seed, the epoch and its number alone, so that a resumed run sees what an
unbroken one would have seen.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from training import augment
from training.config import FaceConfig
from training.data.batches import ahead
from training.data.gallery import Gallery


class Pairs(NamedTuple):
    """Two pictures of a gallery each, and whether they show one person."""

    left: Int64[ndarray, " n"]
    right: Int64[ndarray, " n"]
    same: Bool[ndarray, " n"]


Batch = tuple[ndarray | list[ndarray], ndarray]
"""What the net takes, and what it is held against.

By person: pictures and people's numbers, and these again. By people and pictures: pictures, and rows of a
person's number and scores. By pairs: left and right pictures, and rows of whether they are one person, and
both people's numbers.
"""


class FaceBatches:
    """A gallery's batches for one system."""

    def __init__(self, gallery: Gallery, config: FaceConfig) -> None:
        self._gallery = gallery
        self._config = config
        self._to_input = gallery.to_input(config.size).astype(np.float32)
        count = config.pairs if config.system == "siamese" else len(gallery)
        self.steps = max(1, count // config.batch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """One pass; what does not fill a batch waits for another epoch."""
        rng = np.random.default_rng((self._config.seed, epoch))
        match self._config.system:
            case "softmax":
                order = rng.permutation(len(self._gallery))
                return ahead(lambda step: self._labelled(order, epoch, step), self.steps)
            case "triplet":
                return ahead(lambda step: self._people(epoch, step), self.steps)
            case "siamese":
                pairs = self._epoch_pairs(rng)
                return ahead(lambda step: self._pairs(pairs, epoch, step), self.steps)

    def pictures(self, chosen: ndarray, rng: np.random.Generator) -> Float32[ndarray, "b size size 3"]:
        """The chosen faces, each augmented."""
        how, size = self._config.augment, self._config.size
        images = np.empty((len(chosen), size, size, 3), np.float32)
        for row, i in enumerate(chosen):
            matrix, _ = augment.geometry(rng, how, self._to_input, size)
            images[row] = augment.appearance(rng, how, augment.warp(self._gallery.images[i], matrix, size))
        return images

    def _slice(self, step: int) -> slice:
        return slice(step * self._config.batch, (step + 1) * self._config.batch)

    def _rng(self, epoch: int, step: int) -> np.random.Generator:
        return np.random.default_rng((self._config.seed, epoch, step))

    def _labelled(self, order: ndarray, epoch: int, step: int) -> Batch:
        chosen = order[self._slice(step)]
        labels = self._gallery.labels[chosen][:, None]
        return [self.pictures(chosen, self._rng(epoch, step)), labels], labels

    def _people(self, epoch: int, step: int) -> Batch:
        rng = self._rng(epoch, step)
        chosen = people_by_pictures(self._gallery.labels, self._config.people, self._config.pictures, rng)
        scores = rng.random((len(chosen), len(chosen)), np.float32)
        labels = self._gallery.labels[chosen].astype(np.float32)
        return self.pictures(chosen, rng), np.concatenate([labels[:, None], scores], axis=1)

    def _epoch_pairs(self, rng: np.random.Generator) -> Pairs:
        labels, config = self._gallery.labels, self._config
        other = balancing(labels) if config.diff_prob is None else config.diff_prob
        return zipped(labels, self.steps * config.batch, (config.same_prob, other), rng)

    def _pairs(self, pairs: Pairs, epoch: int, step: int) -> Batch:
        rng, part = self._rng(epoch, step), self._slice(step)
        chosen = [side[part] for side in (pairs.left, pairs.right)]
        people = [self._gallery.labels[side] for side in chosen]
        truth = np.stack([pairs.same[part], *people], axis=1).astype(np.float32)
        return [self.pictures(side, rng) for side in chosen], truth


def people_by_pictures(
    labels: Int64[ndarray, " n"], people: int, pictures: int, rng: np.random.Generator
) -> Int64[ndarray, " m"]:
    """So many pictures of so many people, none twice. Raises ValueError where the set has not as many."""
    fit = np.flatnonzero(np.bincount(labels) >= pictures)
    if len(fit) < people:
        raise ValueError(f"{len(fit)} people have {pictures} pictures, and a batch wants {people}")
    drawn = rng.choice(fit, people, replace=False)
    return np.concatenate([rng.choice(np.flatnonzero(labels == p), pictures, replace=False) for p in drawn])


def zipped(
    labels: Int64[ndarray, " n"], count: int, kept: tuple[float, float], rng: np.random.Generator
) -> Pairs:
    """Pairs of two readings of the set, each shuffled anew, zipped, and then filtered.

    Of genuine pairs the share `kept[0]` stays, of impostor pairs `kept[1]`; a picture with itself never does.
    The readings go on until there are `count`. Raises ValueError where no reading could ever give one.
    """
    sizes = np.bincount(labels)
    possible = (kept[0] > 0 and (sizes > 1).any()), (kept[1] > 0 and (sizes > 0).sum() > 1)
    if not any(possible):
        raise ValueError("the set has no pairs of the kind that is kept: reading on would never end")
    found: list[ndarray] = []
    while sum(len(part) for part in found) < count:
        left, right = rng.permutation(len(labels)), rng.permutation(len(labels))
        same = labels[left] == labels[right]
        keep = (rng.random(len(labels)) < np.where(same, *kept)) & (left != right)
        found.append(np.stack([left[keep], right[keep]]))
    both = np.concatenate(found, axis=1)[:, :count]
    return Pairs(both[0], both[1], labels[both[0]] == labels[both[1]])


def balancing(labels: Int64[ndarray, " n"]) -> float:
    """The share of impostor pairs to keep so that half of the pairs are genuine, if all genuine ones are."""
    sizes = np.bincount(labels).astype(np.float64)
    genuine = (sizes * (sizes - 1)).sum()
    impostors = sizes.sum() ** 2 - (sizes**2).sum()
    return float(min(1.0, genuine / impostors)) if impostors else 0.0
