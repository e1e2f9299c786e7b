"""Training tiles for P-Net: cut from photos at the scales of the pyramid, with every window labelled.

A fully convolutional net learns from all windows of a tile in one pass. A window is labelled as in MTCNN
(Zhang et al., 2016): positive from an IoU of 0.65, part of a face from 0.4, negative below 0.3. The IoU is
that of the square in the centre of the window with the square around the face.

A net that predicts points also gets tiles of portraits, whose windows have points only. The square around
the face of a portrait is the one in which the mean face fits its points best.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy import ndarray

from app.vision import align, boxes
from app.vision.points import FIVE_MIRROR
from app.vision.pyramid import ImagePyramid
from training.config.columns import CascadeLabel, cascade_label_width
from training.config.registry import RunError
from training.config.schema import StageConfig
from training.data.batches import augment
from training.data.batches.epochs import EpochBatches
from training.data.datasets.scenes import Portrait, Scene

Batch = tuple[Float32[ndarray, "b h w 3"], Float32[ndarray, "b r c t"]]

MEAN_FACE = np.array([[0.31, 0.4], [0.69, 0.4], [0.5, 0.58], [0.35, 0.76], [0.65, 0.76]], np.float32)
"""Five points of the mean face in units of the square around it."""

SHARE_AROUND_FACES = 0.6
"""Share of the tiles that are placed around a face. The others are placed anywhere in a photo."""

MIN_PHOTO_SIDE, MIN_FACE_SIDE = 40, 14
"""Pixels. A tile anywhere has a scale between a photo side of 40 pixels and a face side of 14."""

FACE_SCALE_LOG2 = (-0.35, 0.6)
"""Range of the size of a face in a tile over `face_size`, log2."""


class TileBatches(EpochBatches):
    """Batches of tiles (b, tile, tile, 3) and labels (b, rows, columns, 7 or 18), see `CascadeLabel`.

    Raises:
        RunError: a tile is smaller than a window.
    """

    def __init__(
        self, scenes: list[Scene], config: StageConfig, portraits: Sequence[Portrait] = (), workers: int = 2
    ) -> None:
        super().__init__(config, config.steps, workers)
        if config.tile_size < config.size:
            raise RunError(f"tile_size={config.tile_size} is smaller than a window of {config.size} pixels.")
        self._scenes = scenes
        self._portraits = portraits if config.has_points else ()
        self._config = config
        self._faces = [
            (i, j) for i, scene in enumerate(scenes) for j in np.flatnonzero(~scene.ignored).tolist()
        ]
        self._squares = window_squares(config)

    def make(self, plan: None, rng: np.random.Generator, index: int) -> Batch:
        """Return a batch."""
        tiles, labels = zip(*(self._any_tile(rng) for _ in range(self._config.batch)), strict=True)
        return np.stack(tiles).astype(np.float32), np.stack(labels)

    def _any_tile(
        self, rng: np.random.Generator
    ) -> tuple[UInt8[ndarray, "t t 3"], Float32[ndarray, "r c 7"]]:
        """Return a tile of a photo, or of a portrait in the share that the config gives."""
        if self._portraits and rng.random() < self._config.sample_shares.portraits:
            return self._portrait(rng)
        image, labels = self._tile(rng)
        width = cascade_label_width(self._config.has_points)
        return image, np.pad(labels, ((0, 0), (0, 0), (0, width - labels.shape[-1])))

    def _portrait(
        self, rng: np.random.Generator
    ) -> tuple[UInt8[ndarray, "t t 3"], Float32[ndarray, "r c 18"]]:
        config = self._config
        portrait = self._portraits[int(rng.integers(len(self._portraits)))]
        square = align.apply(
            align.umeyama(MEAN_FACE[None], portrait.points), np.array([[[0.5, 0.5], [1.0, 0.5]]], np.float32)
        )[0]
        side = 2 * float(np.linalg.norm(square[1] - square[0]))
        scale = config.face_size * float(2 ** rng.uniform(*FACE_SCALE_LOG2)) / side
        corner = square[0] - rng.uniform(0.1, 0.9, 2) * config.tile_size / scale
        image, transform, flip = self._cut(rng, portrait.picture, scale, corner)
        points = portrait.points @ transform[:, :2].T + transform[:, 2]
        centre, half = square[0] @ transform[:, :2].T + transform[:, 2] + 0.5, scale * side / 2
        face = np.concatenate([centre - half, centre + half]).astype(np.float32)
        labels = label_points(self._squares, face, points[FIVE_MIRROR] if flip else points, config)
        return augment.appearance(rng, config.augment, image), labels

    def _cut(
        self, rng: np.random.Generator, picture: ImagePyramid, scale: float, corner: ndarray
    ) -> tuple[UInt8[ndarray, "t t 3"], Float32[ndarray, "2 3"], bool]:
        """Return a tile of a picture, the matrix from the picture to it, and whether it is mirrored.

        Args:
            rng: decides whether the tile is mirrored.
            picture: the picture.
            scale: pixels of the tile per pixel of the picture.
            corner: top left corner of the tile in the picture.
        """
        size = self._config.tile_size
        flip = bool(rng.random() < self._config.augment.flip_share)
        region = np.array([[*corner, *(corner + size / scale)]], np.float32)
        transform = align.of_boxes(region, size)
        if flip:
            transform[0] = augment.mirrored(transform[0].astype(np.float64), size)
        return align.warp(picture, transform, size)[0], transform[0], flip

    def _tile(self, rng: np.random.Generator) -> tuple[UInt8[ndarray, "t t 3"], Float32[ndarray, "r c 7"]]:
        config = self._config
        if self._faces and rng.random() < SHARE_AROUND_FACES:
            scene, scale, corner = self._around_face(rng)
        else:
            scene, scale, corner = self._anywhere(rng)
        image, _, flip = self._cut(rng, scene.picture, scale, corner)
        faces = (scene.faces - np.tile(corner, 2)).astype(np.float32) * np.float32(scale)
        if flip:
            size = config.tile_size
            faces = faces[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + np.array([size, 0, size, 0])
        labels = label_windows(self._squares, faces.astype(np.float32), scene.ignored, config)
        return augment.appearance(rng, config.augment, image), labels

    def _around_face(self, rng: np.random.Generator) -> tuple[Scene, float, ndarray]:
        index, face = self._faces[rng.integers(len(self._faces))]
        scene = self._scenes[index]
        box = scene.faces[face]
        size = max(box[2] - box[0], box[3] - box[1])
        scale = self._config.face_size * 2 ** rng.uniform(*FACE_SCALE_LOG2) / size
        centre = (box[:2] + box[2:]) / 2
        return scene, float(scale), centre - rng.uniform(0.1, 0.9, 2) * self._config.tile_size / scale

    def _anywhere(self, rng: np.random.Generator) -> tuple[Scene, float, ndarray]:
        scene = self._scenes[rng.integers(len(self._scenes))]
        size = np.array([scene.picture.width, scene.picture.height])
        low, high = np.log2(MIN_PHOTO_SIDE / size.min()), np.log2(self._config.face_size / MIN_FACE_SIDE)
        scale = float(2 ** rng.uniform(min(low, high), high))
        room = size - self._config.tile_size / scale
        return scene, scale, np.where(room > 0, rng.random(2) * room, room / 2)


def window_squares(config: StageConfig) -> Float32[ndarray, "r c 4"]:
    """Return the central squares of a tile's windows, in pixels of the tile; windows have stride 2."""
    count = (config.tile_size - config.size) // 2 + 1
    first = (config.size - config.face_size) / 2
    y, x = np.mgrid[:count, :count] * 2 + first
    return np.stack([x, y, x + config.face_size, y + config.face_size], axis=-1).astype(np.float32)


def label_windows(
    squares: Float32[ndarray, "r c 4"],
    faces: Float32[ndarray, "n 4"],
    ignored: Bool[ndarray, " n"],
    config: StageConfig,
) -> Float32[ndarray, "r c 7"]:
    """Return the labels of all windows of a tile.

    Args:
        squares: central squares of the windows, in pixels of the tile.
        faces: boxes of the faces, in pixels of the tile.
        ignored: faces that are neither positives nor negatives.
        config: IoU limits of the labels.
    """
    flat = squares.reshape(-1, 4)
    labels = np.zeros((len(flat), CascadeLabel.WIDTH), np.float32)
    labels[:, CascadeLabel.FACE_WEIGHT] = 1
    in_tile = ((faces[:, 2:] > 0) & (faces[:, :2] < config.tile_size)).all(axis=1)
    inside = np.flatnonzero(in_tile & _of_similar_size(faces, config))
    if len(inside):
        overlaps = boxes.iou(flat, boxes.square(faces[inside]))
        excluded = ignored[inside]
        counted = np.where(excluded, 0, overlaps)
        best = counted.argmax(axis=1)
        overlap = counted.max(axis=1)
        positive = overlap >= config.positive_iou
        labels[:, CascadeLabel.FACE] = positive
        ambiguous = ~positive & (overlap >= config.negative_iou)
        ambiguous |= ~positive & (np.where(excluded, overlaps, 0).max(axis=1) >= config.negative_iou)
        labels[ambiguous, CascadeLabel.FACE_WEIGHT] = 0
        part = overlap >= config.part_iou
        labels[:, CascadeLabel.OFFSETS_WEIGHT] = part
        labels[:, CascadeLabel.OFFSETS] = boxes.offsets_to(flat, faces[inside][best])
        labels[~part, CascadeLabel.OFFSETS] = 0
    return labels.reshape(*squares.shape[:2], CascadeLabel.WIDTH)


def label_points(
    squares: Float32[ndarray, "r c 4"],
    face: Float32[ndarray, " 4"],
    points: Float32[ndarray, "5 2"],
    config: StageConfig,
) -> Float32[ndarray, "r c 18"]:
    """Return the labels of all windows of a tile of a portrait: five points, in units of the window's square.

    Args:
        squares: central squares of the windows, in pixels of the tile.
        face: the square around the face, in pixels of the tile.
        points: five points in pixels of the tile, with pixel centres at integers.
        config: IoU limits of the labels.
    """
    flat = squares.reshape(-1, 4)
    labels = np.zeros((len(flat), CascadeLabel.WIDTH_WITH_POINTS), np.float32)
    near = boxes.iou(flat, face[None])[:, 0] >= config.part_iou
    unit = (points[None] + np.float32(0.5) - flat[near, None, :2]) / config.face_size
    labels[near, CascadeLabel.POINTS] = unit.reshape(-1, 10)
    labels[near, CascadeLabel.POINTS_WEIGHT] = 1
    return labels.reshape(*squares.shape[:2], CascadeLabel.WIDTH_WITH_POINTS)


def _of_similar_size(faces: Float32[ndarray, "n 4"], config: StageConfig) -> Bool[ndarray, " n"]:
    """Return whether a window can overlap a face enough to be no negative.

    The IoU of two squares is at most the ratio of their areas.
    """
    ratio = ((faces[:, 2:] - faces[:, :2]).max(axis=1) / config.face_size) ** 2
    similar: Bool[ndarray, " n"] = np.minimum(ratio, 1 / np.maximum(ratio, 1e-9)) >= min(
        config.negative_iou, config.part_iou
    )
    return similar
