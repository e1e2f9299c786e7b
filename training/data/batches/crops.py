"""Training crops for R- and O-Net: candidates of the previous stages and labelled faces, cropped as served.

A crop is labelled as in MTCNN (Zhang et al., 2016): positive from an IoU of 0.65, part of a face from 0.4,
negative below 0.3. The box is shifted and scaled at random, and the label is that of the moved box.
"""

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8
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
from training.data.storage.candidates import Candidates

Batch = tuple[Float32[ndarray, "b size size 3"], Float32[ndarray, "b t"]]

_FACES, _NEAR_FACES, _PORTRAITS, _NEGATIVES = range(4)


class CropBatches(EpochBatches):
    """Batches of crops (b, size, size, 3) and labels (b, 7 or 18), see `CascadeLabel`.

    Portraits have points, and a score as positives. Their boxes are a detector's, without an offset label.
    The border of a share of them, `edge_share`, is continued by its mirror image. The others are black there.

    Raises:
        RunError: no candidate is a negative.
    """

    def __init__(
        self,
        scenes: list[Scene],
        candidates: Candidates,
        portraits: tuple[list[Portrait], Float32[ndarray, "m 4"]],
        config: StageConfig,
        workers: int = 2,
    ) -> None:
        super().__init__(config, config.steps, workers)
        self._scenes, self._config = scenes, config
        self._portraits, self._portrait_boxes = portraits
        # The box is moved instead (`moved`), so that its label moves along.
        self._augment = config.augment.model_copy(update={"shift": 0.0, "scale": 0.0})
        self._photo, self._boxes = candidates.photo, candidates.boxes
        overlap = np.zeros(len(candidates), np.float32)
        for i in np.unique(candidates.photo):
            own, faces = candidates.photo == i, scenes[i].faces[~scenes[i].ignored]
            if len(faces):
                overlap[own] = boxes.iou(candidates.boxes[own], faces).max(axis=1)
        self._near = np.flatnonzero(overlap >= config.negative_iou)
        self._far = np.flatnonzero(overlap < config.negative_iou)
        shares = config.sample_shares
        negatives = 1 - shares.faces - shares.portraits - (shares.near_faces if len(self._near) else 0)
        if negatives > 1e-9 and not len(self._far):
            raise RunError("The candidates of these photos have no negatives. Mine more photos.")
        self._faces = [(i, j) for i, s in enumerate(scenes) for j in np.flatnonzero(~s.ignored).tolist()]

    def make(self, plan: None, rng: np.random.Generator, index: int) -> Batch:
        """Return a batch with the shares of samples that the config gives."""
        config, shares = self._config, self._config.sample_shares
        probabilities = [shares.faces, shares.near_faces, shares.portraits]
        kinds = rng.choice(
            4, config.batch, p=[*probabilities, 1 - shares.faces - shares.near_faces - shares.portraits]
        )
        images = np.empty((config.batch, config.size, config.size, 3), np.float32)
        labels = np.zeros((config.batch, cascade_label_width(config.has_points)), np.float32)
        for row, kind in enumerate(kinds):
            if kind == _PORTRAITS and self._portraits:
                images[row], labels[row] = self._portrait(rng)
                continue
            if kind == _FACES and self._faces:
                photo, face = self._faces[rng.integers(len(self._faces))]
                box = self._scenes[photo].faces[face]
            else:
                pool = self._near if kind == _NEAR_FACES and len(self._near) else self._far
                chosen = pool[rng.integers(len(pool))]
                photo, box = int(self._photo[chosen]), self._boxes[chosen]
            images[row], labels[row] = self._crop(rng, self._scenes[photo], box)
        return images, labels

    def _crop(
        self, rng: np.random.Generator, scene: Scene, box: ndarray
    ) -> tuple[UInt8[ndarray, "size size 3"], Float32[ndarray, " t"]]:
        config = self._config
        box = moved(rng, box, config)
        labels = np.zeros(cascade_label_width(config.has_points), np.float32)
        matrix, _ = self._matrix(rng, box)
        image = align.warp(scene.picture, matrix[None].astype(np.float32), config.size)[0]
        labels[CascadeLabel.FACE_WEIGHT] = 1
        if len(scene.faces):
            overlaps = boxes.iou(box[None], scene.faces)[0]
            counted = np.where(scene.ignored, 0, overlaps)
            best = int(counted.argmax())
            labels[CascadeLabel.FACE] = counted[best] >= config.positive_iou
            if not labels[CascadeLabel.FACE] and overlaps.max() >= config.negative_iou:
                labels[CascadeLabel.FACE_WEIGHT] = 0
            if counted[best] >= config.part_iou:
                labels[CascadeLabel.OFFSETS] = offsets(scene.faces[best], matrix, config.size)
                labels[CascadeLabel.OFFSETS_WEIGHT] = 1
        return augment.appearance(rng, config.augment, image), labels

    def _portrait(
        self, rng: np.random.Generator
    ) -> tuple[UInt8[ndarray, "size size 3"], Float32[ndarray, " t"]]:
        config = self._config
        index = int(rng.integers(len(self._portraits)))
        portrait = self._portraits[index]
        matrix, flipped = self._matrix(rng, moved(rng, self._portrait_boxes[index], config))
        picture, to_crop = portrait.picture, matrix
        if config.augment.edge_share and rng.random() < config.augment.edge_share:
            picture, to_crop = _with_mirrored_border(picture, matrix)
        image = align.warp(picture, to_crop[None].astype(np.float32), config.size)[0]
        labels = np.zeros(cascade_label_width(config.has_points), np.float32)
        labels[[CascadeLabel.FACE, CascadeLabel.FACE_WEIGHT]] = 1
        if config.has_points:
            points = portrait.points @ matrix[:, :2].T + matrix[:, 2]
            points = points[FIVE_MIRROR] if flipped else points
            labels[CascadeLabel.POINTS] = ((points + 0.5) / config.size).reshape(-1)
            labels[CascadeLabel.POINTS_WEIGHT] = 1
        return augment.appearance(rng, config.augment, image), labels

    def _matrix(self, rng: np.random.Generator, box: ndarray) -> tuple[Float64[ndarray, "2 3"], bool]:
        """Return the matrix from the photo to the served crop of a box, augmented, and whether it mirrors."""
        size = self._config.size
        served = align.of_boxes(boxes.square(box[None], self._config.crop_scale), size)[0].astype(np.float64)
        matrix = augment.compose(augment.random_affine(rng, self._augment, size), served)
        flip = bool(rng.random() < self._augment.flip_share)
        return (augment.mirrored(matrix, size) if flip else matrix), flip


def _with_mirrored_border(
    picture: ImagePyramid, matrix: Float64[ndarray, "2 3"]
) -> tuple[ImagePyramid, Float64[ndarray, "2 3"]]:
    """Return a picture with a border of half its shorter side, and the matrix from there to the crop."""
    border = min(picture.width, picture.height) // 2
    wide = cv2.copyMakeBorder(picture[0], border, border, border, border, cv2.BORDER_REFLECT_101)
    from_picture = matrix.copy()
    from_picture[:, 2] -= matrix[:, :2].sum(axis=1) * border
    return ImagePyramid(wide), from_picture


def moved(rng: np.random.Generator, box: ndarray, config: StageConfig) -> Float32[ndarray, " 4"]:
    """Return a box (4,), shifted and scaled at random by shares of its longer side."""
    side = max(box[2] - box[0], box[3] - box[1])
    centre = (box[:2] + box[2:]) / 2 + rng.uniform(-1, 1, 2) * config.augment.shift * side
    half = (box[2:] - box[:2]) / 2 * 2 ** rng.uniform(-config.augment.scale, config.augment.scale)
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def offsets(face: ndarray, matrix: ndarray, size: int) -> Float32[ndarray, " 4"]:
    """Return the offsets from a crop's box to a face's box, as shares of the crop's side.

    The centre of the face moves with the matrix (2, 3); its sides are scaled only, also in a rotated crop.
    """
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    centre = matrix[:, :2] @ ((face[:2] + face[2:]) / 2 - 0.5) + matrix[:, 2] + 0.5
    half = (face[2:] - face[:2]) / 2 * scale
    box = np.concatenate([centre - half, centre + half]) / size
    return (box - np.array([0, 0, 1, 1])).astype(np.float32)
