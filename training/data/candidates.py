"""R- and O-Net's samples: what the previous stages proposed, and the faces themselves, cut as served.

A crop counts as MTCNN's samples do (Zhang et al., 2016): a face from IoU 0.65 on, part of one from 0.4 on, no
face below 0.3. The box is moved a little each time it is drawn, and what it counts as is measured anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int, UInt8
from numpy import ndarray

from app.vision import align, boxes
from app.vision.points import FIVE_MIRROR
from training import augment
from training.cascade_config import StageConfig
from training.cascade_labels import Label, label_width
from training.data.batches import ahead
from training.data.scenes import Portrait, Scene

Batch = tuple[Float32[ndarray, "b size size 3"], Float32[ndarray, "b t"]]


@dataclass(frozen=True)
class Candidates:
    """Boxes (n, 4) that a stage proposed in the photographs of these numbers, and their scores."""

    photo: Int[ndarray, " n"]
    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]

    def __len__(self) -> int:
        return len(self.photo)

    def of(self, photos: ndarray) -> "Candidates":
        """Those of the given photographs, numbered by their place among these."""
        place = np.full(int(max(self.photo.max(initial=0), photos.max(initial=0))) + 1, -1)
        place[photos] = np.arange(len(photos))
        kept = np.flatnonzero(place[self.photo] >= 0)
        return Candidates(place[self.photo[kept]], self.boxes[kept], self.scores[kept])


def save(path: Path, found: Candidates, portraits: Float32[ndarray, "m 4"]) -> None:
    """Writes the candidates, and a box for each portrait."""
    np.savez_compressed(
        path,
        photo=found.photo.astype(np.int32),
        boxes=found.boxes.astype(np.float32),
        scores=found.scores.astype(np.float16),
        portraits=portraits.astype(np.float32),
    )


def load(path: Path) -> tuple[Candidates, Float32[ndarray, "m 4"]]:
    """What `save` wrote."""
    with np.load(path) as saved:
        found = Candidates(
            saved["photo"].astype(np.int64), saved["boxes"], saved["scores"].astype(np.float32)
        )
        return found, saved["portraits"]


class CropBatches:
    """Batches of crops, each a function of the seed, the epoch and the batch's number alone.

    Portraits bring points and, as faces, a score; their boxes are guesses, and not learnt.
    """

    def __init__(
        self,
        scenes: list[Scene],
        candidates: Candidates,
        portraits: tuple[list[Portrait], Float32[ndarray, "m 4"]],
        config: StageConfig,
    ) -> None:
        self._scenes, self._config = scenes, config
        self._portraits, self._guesses = portraits
        self._turn = config.augment.model_copy(update={"shift": 0.0, "scale": 0.0})
        self.steps = config.steps
        self._photo, self._boxes = candidates.photo, candidates.boxes
        most = np.zeros(len(candidates), np.float32)
        for i in np.unique(candidates.photo):
            own, wanted = candidates.photo == i, scenes[i].faces[~scenes[i].ignored]
            if len(wanted):
                most[own] = boxes.iou(candidates.boxes[own], wanted).max(axis=1)
        self._near = np.flatnonzero(most >= config.negative)
        self._far = np.flatnonzero(most < config.negative)
        self._faces = [(i, j) for i, s in enumerate(scenes) for j in np.flatnonzero(~s.ignored).tolist()]

    def epoch(self, epoch: int, seed: int | None = None) -> Iterator[Batch]:
        """One epoch's batches, made ahead in a thread."""
        chosen = self._config.seed if seed is None else seed
        return ahead(lambda step: self.batch(np.random.default_rng((chosen, epoch, step))), self.steps)

    def batch(self, rng: np.random.Generator) -> Batch:
        """One batch, its kinds in the config's shares."""
        config, kinds = self._config, self._config.kinds
        draws = rng.choice(
            4,
            config.batch,
            p=[kinds.faces, kinds.near, kinds.points, 1 - kinds.faces - kinds.near - kinds.points],
        )
        images = np.empty((config.batch, config.size, config.size, 3), np.float32)
        truth = np.zeros((config.batch, label_width(config.stage)), np.float32)
        for row, kind in enumerate(draws):
            if kind == 2 and self._portraits:
                images[row], truth[row] = self._portrait(rng)
                continue
            if kind == 0 and self._faces:
                photo, face = self._faces[rng.integers(len(self._faces))]
                box = self._scenes[photo].faces[face]
            else:
                pool = self._near if kind == 1 and len(self._near) else self._far
                chosen = pool[rng.integers(len(pool))]
                photo, box = int(self._photo[chosen]), self._boxes[chosen]
            images[row], truth[row] = self._crop(rng, self._scenes[photo], box)
        return images, truth

    def _crop(
        self, rng: np.random.Generator, scene: Scene, box: ndarray
    ) -> tuple[UInt8[ndarray, "size size 3"], ndarray]:
        config = self._config
        box = moved(rng, box, config)
        truth = np.zeros(label_width(config.stage), np.float32)
        matrix, _ = self._look(rng, box)
        image = align.warp(scene.picture, matrix[None].astype(np.float32), config.size)[0]
        truth[Label.FACE_WEIGHT] = 1
        if len(scene.faces):
            overlaps = boxes.iou(box[None], scene.faces)[0]
            wanted = np.where(scene.ignored, 0, overlaps)
            best = int(wanted.argmax())
            truth[Label.FACE] = wanted[best] >= config.positive
            if not truth[Label.FACE] and overlaps.max() >= config.negative:
                truth[Label.FACE_WEIGHT] = 0
            if wanted[best] >= config.part:
                truth[Label.OFFSETS] = offsets(scene.faces[best], matrix, config.size)
                truth[Label.OFFSETS_WEIGHT] = 1
        return augment.appearance(rng, config.augment, image), truth

    def _portrait(self, rng: np.random.Generator) -> tuple[UInt8[ndarray, "size size 3"], ndarray]:
        config = self._config
        index = int(rng.integers(len(self._portraits)))
        portrait = self._portraits[index]
        matrix, flipped = self._look(rng, moved(rng, self._guesses[index], config))
        image = align.warp(portrait.picture, matrix[None].astype(np.float32), config.size)[0]
        truth = np.zeros(label_width(config.stage), np.float32)
        truth[[Label.FACE, Label.FACE_WEIGHT]] = 1
        if config.stage == "onet":
            at = portrait.points @ matrix[:, :2].T + matrix[:, 2]
            at = at[FIVE_MIRROR] if flipped else at
            truth[Label.POINTS] = ((at + 0.5) / config.size).reshape(-1)
            truth[Label.POINTS_WEIGHT] = 1
        return augment.appearance(rng, config.augment, image), truth

    def _look(self, rng: np.random.Generator, box: ndarray) -> tuple[ndarray, bool]:
        """The matrix from the photograph to the crop served for a box, turned and mirrored at random."""
        size = self._config.size
        served = align.of_boxes(boxes.square(box[None], self._config.crop), size)[0].astype(np.float64)
        matrix = augment.compose(augment.similarity(rng, self._turn, size), served)
        flip = bool(rng.random() < self._turn.flip_share)
        return (augment.mirrored(matrix, size) if flip else matrix), flip


def moved(rng: np.random.Generator, box: ndarray, config: StageConfig) -> Float32[ndarray, " 4"]:
    """The box shifted and scaled at random, by shares of its longer side."""
    side = max(box[2] - box[0], box[3] - box[1])
    middle = (box[:2] + box[2:]) / 2 + rng.uniform(-1, 1, 2) * config.augment.shift * side
    half = (box[2:] - box[:2]) / 2 * 2 ** rng.uniform(-config.augment.scale, config.augment.scale)
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


def offsets(face: ndarray, matrix: ndarray, size: int) -> Float32[ndarray, " 4"]:
    """A face's box as offsets of the crop's: its middle under the matrix, its sides only scaled."""
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    middle = matrix[:, :2] @ ((face[:2] + face[2:]) / 2 - 0.5) + matrix[:, 2] + 0.5
    half = (face[2:] - face[:2]) / 2 * scale
    box = np.concatenate([middle - half, middle + half]) / size
    return (box - np.array([0, 0, 1, 1])).astype(np.float32)
