"""Batches for embedding nets: people (softmax), people by images (triplets), pairs (Siamese), or vectors."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8
from numpy import ndarray

from training.config.registry import RunError
from training.config.schema import EmbeddingConfig
from training.data.batches import augment
from training.data.batches.epochs import Batch, EpochBatches
from training.data.storage.identity_crops import IdentityCrops


class Pairs(NamedTuple):
    """Pairs of images by their indices, and whether both show the same person."""

    left: Int64[ndarray, " n"]
    right: Int64[ndarray, " n"]
    same: Bool[ndarray, " n"]


class EmbeddingBatches(EpochBatches):
    """The augmented batches of a set of identity crops, for the objective of the run.

    - softmax: (images, person numbers (b, 1)) and the numbers again;
    - triplet: images, and rows of `training.config.columns.TripletLabel`;
    - distillation: images, and the teacher's vectors (b, d);
    - siamese: (left images, right images), and rows of `training.config.columns.PairLabel`.

    Samples that do not fill a batch are left out of the epoch.

    Raises:
        RunError: the set has too few people or images for a batch.
    """

    def __init__(self, crops: IdentityCrops, config: EmbeddingConfig, workers: int = 2) -> None:
        check_set(crops, config)
        count = config.pairs_per_epoch if config.objective == "siamese" else len(crops)
        super().__init__(config, max(1, count // config.batch), workers)
        if config.objective == "distillation" and crops.vectors is None:
            raise ValueError(
                "The set has no vectors of a teacher. `training.prepare distillation` writes them."
            )
        self._crops = crops
        self._config = config
        self._to_input = crops.to_input(config.size).astype(np.float32)

    def plan(self, rng: np.random.Generator) -> Any:
        """Return the order of the images (softmax, distillation), or the pairs of the epoch (siamese)."""
        config, labels = self._config, self._crops.labels
        if config.objective in ("softmax", "distillation"):
            return rng.permutation(len(self._crops))
        if config.objective == "siamese":
            kept = balanced_share(labels) if config.diff_prob is None else config.diff_prob
            return sample_pairs(labels, len(self) * config.batch, (config.same_prob, kept), rng)
        return None

    def make(self, plan: Any, rng: np.random.Generator, index: int) -> Batch:
        """Return a batch for the objective of the run."""
        part = slice(index * self._config.batch, (index + 1) * self._config.batch)
        match self._config.objective:
            case "softmax":
                chosen = plan[part]
                labels = self._crops.labels[chosen][:, None]
                return (self.images(chosen, rng), labels), labels
            case "distillation":
                assert self._crops.vectors is not None
                return self.images(plan[part], rng), self._crops.vectors[plan[part]]
            case "triplet":
                return self._people(rng)
            case "siamese":
                return self._pairs(Pairs(*(column[part] for column in plan)), rng)

    def images(self, chosen: ndarray, rng: np.random.Generator) -> Float32[ndarray, "b size size 3"]:
        """Return the chosen images, each augmented."""
        ranges, size = self._config.augment, self._config.size
        out = np.empty((len(chosen), size, size, 3), np.float32)
        for row, i in enumerate(chosen):
            matrix, _ = augment.random_transform(rng, ranges, self._to_input, size)
            out[row] = augment.appearance(rng, ranges, augment.warp(self._crops.images[i], matrix, size))
        return out

    def _people(self, rng: np.random.Generator) -> Batch:
        config, labels = self._config, self._crops.labels
        chosen = people_by_images(labels, config.people_per_batch, config.images_per_person, rng)
        scores = rng.random((len(chosen), len(chosen)), np.float32)
        rows = np.concatenate([labels[chosen].astype(np.float32)[:, None], scores], axis=1)
        return self.images(chosen, rng), rows

    def _pairs(self, pairs: Pairs, rng: np.random.Generator) -> Batch:
        people = [self._crops.labels[side] for side in (pairs.left, pairs.right)]
        rows = np.stack([pairs.same, *people], axis=1).astype(np.float32)
        return (self.images(pairs.left, rng), self.images(pairs.right, rng)), rows


def check_set(crops: IdentityCrops, config: EmbeddingConfig) -> None:
    """Check that a training set fills a batch of the run.

    Raises:
        RunError: it does not; the message says how many people and images there are.
    """
    named = crops.labels[crops.labels >= 0]  # a set for distillation has faces without names, too
    images = np.bincount(named)
    if len(images) < 2 and config.objective != "distillation":
        raise RunError(
            "The training set has one person only. Add people, or prepare with a lower --validation."
        )
    match config.objective:
        case "softmax" | "distillation" if len(crops) < config.batch:
            raise RunError(
                f"The training set has {len(crops)} images, fewer than a batch of {config.batch}. Give "
                f"--set batch={len(crops)} or less, or add photos."
            )
        case "triplet":
            _check_people(images, config)
        case "siamese" if config.pairs_per_epoch < config.batch or images.max() < 2:
            raise RunError(
                f"An epoch has {config.pairs_per_epoch} pairs (pairs_per_epoch), a batch {config.batch}, "
                "and a person "
                f"up to {images.max()} images. An epoch needs one batch, and a pair two images of one "
                "person. Give "
                "--set pairs_per_epoch or batch, or add photos."
            )


def _check_people(images: Int64[ndarray, " p"], config: EmbeddingConfig) -> None:
    people, per_person = config.people_per_batch, config.images_per_person
    eligible = int((images >= per_person).sum())
    if people < 2 or per_person < 2 or eligible < people:
        raise RunError(
            f"A batch has {people} people with {per_person} images each; it needs two people with two "
            "images. The "
            f"training set has {eligible} people with so many images. Give --set people_per_batch or "
            "--set images_per_person, or add photos."
        )


def served_crops(crops: IdentityCrops, size: int) -> UInt8[ndarray, "n size size 3"]:
    """Return the images without augmentation, as serving crops them up to resampling."""
    matrix = crops.to_input(size)
    return np.stack([augment.warp(image, matrix, size) for image in crops.images])


def people_by_images(
    labels: Int64[ndarray, " n"], people: int, images: int, rng: np.random.Generator
) -> Int64[ndarray, " m"]:
    """Return the indices of `images` random images of each of `people` random people.

    Raises:
        ValueError: fewer people than that have so many images.
    """
    eligible = np.flatnonzero(np.bincount(labels) >= images)
    drawn = rng.choice(eligible, people, replace=False)
    return np.concatenate([rng.choice(np.flatnonzero(labels == p), images, replace=False) for p in drawn])


def sample_pairs(
    labels: Int64[ndarray, " n"], count: int, kept: tuple[float, float], rng: np.random.Generator
) -> Pairs:
    """Return random pairs: two random orders of the set are paired, then filtered, until there are enough.

    This is the sampling of the Siamese tutorial. A pair of an image with itself is never kept.

    Args:
        labels: the person of each image.
        count: number of pairs.
        kept: share of the genuine pairs and of the impostor pairs that is kept.
        rng: source of the random numbers.

    Raises:
        ValueError: the set has no pair of a kind that is kept.
    """
    sizes = np.bincount(labels)
    possible = (kept[0] > 0 and (sizes > 1).any()), (kept[1] > 0 and (sizes > 0).sum() > 1)
    if not any(possible):
        raise ValueError(
            "The set has no pair of a kind that is kept. Genuine pairs need a person with two images, and "
            "impostor pairs need two people."
        )
    parts: list[ndarray] = []
    while sum(part.shape[1] for part in parts) < count:
        left, right = rng.permutation(len(labels)), rng.permutation(len(labels))
        same = labels[left] == labels[right]
        keep = (rng.random(len(labels)) < np.where(same, *kept)) & (left != right)
        parts.append(np.stack([left[keep], right[keep]]))
    both = np.concatenate(parts, axis=1)[:, :count]
    return Pairs(both[0], both[1], labels[both[0]] == labels[both[1]])


def balanced_share(labels: Int64[ndarray, " n"]) -> float:
    """Return the share of impostor pairs to keep so that half of the pairs are genuine."""
    sizes = np.bincount(labels).astype(np.float64)
    genuine = (sizes * (sizes - 1)).sum()
    impostors = sizes.sum() ** 2 - (sizes**2).sum()
    return float(min(1.0, genuine / impostors)) if impostors else 0.0
