"""P-Net's samples: pieces of photographs at the scales of the pyramid, every window of them labelled.

A fully convolutional net learns from all windows of a piece for the price of one pass. A window counts as
MTCNN's samples do (Zhang et al., 2016): a face from IoU 0.65 on, part of one from 0.4 on, no face below 0.3;
the overlap is that of the square in its middle with the square around the face.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy import ndarray

from app.vision import align, boxes
from training import augment
from training.cascade_config import StageConfig
from training.cascade_labels import Label
from training.data.batches import ahead
from training.data.scenes import Scene

Batch = tuple[Float32[ndarray, "b h w 3"], Float32[ndarray, "b r c 7"]]

AROUND_FACES = 0.6
"""Share of pieces that are laid around a face; the others lie anywhere."""

LEAST_PICTURE, LEAST_FACE = 40, 14
"""Pixels: what a piece that lies anywhere shows is scaled between a picture and a face of so many."""

SMALLEST, LARGEST = -0.35, 0.6
"""A face's size in such a piece over the square it should fill, log2."""


class Tiles:
    """Batches of pieces, each a function of the seed, the epoch and the batch's number alone."""

    def __init__(self, scenes: list[Scene], config: StageConfig) -> None:
        self._scenes = scenes
        self._config = config
        self.steps = config.steps
        self._faces = [
            (i, j) for i, scene in enumerate(scenes) for j in np.flatnonzero(~scene.ignored).tolist()
        ]
        self._cells = cells(config)

    def epoch(self, epoch: int, seed: int | None = None) -> Iterator[Batch]:
        """One epoch's batches, made ahead in a thread."""
        chosen = self._config.seed if seed is None else seed
        return ahead(lambda step: self.batch(np.random.default_rng((chosen, epoch, step))), self.steps)

    def batch(self, rng: np.random.Generator) -> Batch:
        """One batch."""
        drawn = [self._piece(rng) for _ in range(self._config.batch)]
        return np.stack([image for image, _ in drawn]).astype(np.float32), np.stack([t for _, t in drawn])

    def _piece(self, rng: np.random.Generator) -> tuple[UInt8[ndarray, "t t 3"], Float32[ndarray, "r c 7"]]:
        config = self._config
        if self._faces and rng.random() < AROUND_FACES:
            scene, scale, corner = self._around(rng)
        else:
            scene, scale, corner = self._anywhere(rng)
        flip = rng.random() < config.augment.flip_share
        side = config.tile / scale
        at = np.array([[*corner, *(corner + side)]], np.float32)
        transform = align.of_boxes(at, config.tile)
        faces = (scene.faces - np.tile(corner, 2)).astype(np.float32) * np.float32(scale)
        if flip:
            transform[0] = augment.mirrored(transform[0].astype(np.float64), config.tile)
            faces = faces[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + np.array([config.tile, 0, config.tile, 0])
        image = align.warp(scene.picture, transform, config.tile)[0]
        truth = label(self._cells, faces.astype(np.float32), scene.ignored, config)
        return augment.appearance(rng, config.augment, image), truth

    def _around(self, rng: np.random.Generator) -> tuple[Scene, float, ndarray]:
        index, face = self._faces[rng.integers(len(self._faces))]
        scene = self._scenes[index]
        box = scene.faces[face]
        size = max(box[2] - box[0], box[3] - box[1])
        scale = self._config.face * 2 ** rng.uniform(SMALLEST, LARGEST) / size
        middle = (box[:2] + box[2:]) / 2
        return scene, float(scale), middle - rng.uniform(0.1, 0.9, 2) * self._config.tile / scale

    def _anywhere(self, rng: np.random.Generator) -> tuple[Scene, float, ndarray]:
        scene = self._scenes[rng.integers(len(self._scenes))]
        size = np.array([scene.picture.width, scene.picture.height])
        low, high = np.log2(LEAST_PICTURE / size.min()), np.log2(self._config.face / LEAST_FACE)
        scale = float(2 ** rng.uniform(min(low, high), high))
        room = size - self._config.tile / scale
        return scene, scale, np.where(room > 0, rng.random(2) * room, room / 2)


def cells(config: StageConfig) -> Float32[ndarray, "r c 4"]:
    """The squares in the middle of a piece's windows, which a face is to fill; windows have stride 2."""
    count = (config.tile - config.size) // 2 + 1
    first = (config.size - config.face) / 2
    y, x = np.mgrid[:count, :count] * 2 + first
    return np.stack([x, y, x + config.face, y + config.face], axis=-1).astype(np.float32)


def label(
    squares: Float32[ndarray, "r c 4"],
    faces: Float32[ndarray, "n 4"],
    ignored: Bool[ndarray, " n"],
    config: StageConfig,
) -> Float32[ndarray, "r c 7"]:
    """The truth of every window (`training.detector_losses`), for faces in pixels of the piece."""
    flat = squares.reshape(-1, 4)
    truth = np.zeros((len(flat), Label.WIDTH), np.float32)
    truth[:, Label.FACE_WEIGHT] = 1
    seen = np.flatnonzero(((faces[:, 2:] > 0) & (faces[:, :2] < config.tile)).all(axis=1))
    if len(seen):
        overlaps = boxes.iou(flat, boxes.square(faces[seen]))
        blind = ignored[seen]
        wanted = np.where(blind, 0, overlaps)
        best = wanted.argmax(axis=1)
        most = wanted.max(axis=1)
        truth[:, Label.FACE] = most >= config.positive
        unsure = (most >= config.negative) & (most < config.positive)
        unsure |= (most < config.positive) & (np.where(blind, overlaps, 0).max(axis=1) >= config.negative)
        truth[unsure, Label.FACE_WEIGHT] = 0
        truth[:, Label.OFFSETS] = boxes.offsets_to(flat, faces[seen][best])
        truth[:, Label.OFFSETS_WEIGHT] = most >= config.part
        truth[truth[:, Label.OFFSETS_WEIGHT] == 0, Label.OFFSETS] = 0
    return truth.reshape(*squares.shape[:2], Label.WIDTH)
