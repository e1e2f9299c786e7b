"""White boxes of a face's shape on noise, as training data of each stage of the cascade."""

import numpy as np

from app.vision.pyramid import ImagePyramid
from training.config.schema import Augmentation, SampleShares, StageConfig
from training.data.batches.crops import CropBatches
from training.data.batches.epochs import EpochBatches
from training.data.batches.tiles import TileBatches
from training.data.datasets.scenes import Portrait, Scene
from training.data.storage.candidates import Candidates
from training.engine.cascade_data import CascadeData

RNET = StageConfig(
    name="cascade_rnet_scratch",
    stage="rnet",
    size=24,
    crop_scale=1.3,
    sample_shares=SampleShares(faces=0.3, near_faces=0.2),
    epochs=3,
    steps=20,
    batch=32,
    learning_rate=5e-3,
    final_learning_rate=1e-4,
    ema=0.9,
    augment=Augmentation(flip_share=0.5, shift=0.05, scale=0.1),
)
ONET = RNET.model_copy(
    update={
        "stage": "onet",
        "size": 32,
        "sample_shares": SampleShares(faces=0.3, near_faces=0.2, portraits=0.3),
        "points_weight": 1.0,
    }
)
PNET = RNET.model_copy(
    update={
        "stage": "pnet",
        "size": 16,
        "face_size": 12,
        "tile_size": 64,
        "ohem_fraction": 1.0,
        "negatives_per_positive": 4.0,
        "batch": 8,
        "steps": 8,
        "augment": Augmentation(),
    }
)


def scenes(count: int) -> list[Scene]:
    """Return photos with one box each."""
    rng = np.random.default_rng(0)
    out = []
    for i in range(count):
        image = rng.integers(0, 120, (120, 160, 3), np.uint8)
        height = rng.uniform(20, 60)
        corner = rng.uniform(0, 50, 2)
        box = np.array([*corner, *(corner + np.array([0.8, 1.0]) * height)], np.float32).round()
        x1, y1, x2, y2 = box.astype(int)
        image[y1:y2, x1:x2] = 230
        out.append(Scene(f"{i}.png", ImagePyramid(image), box[None], np.array([False])))
    return out


def cascade_data(config: StageConfig) -> CascadeData:
    """Return the data of a stage. The validation set is the first batches of a later epoch."""
    rng = np.random.default_rng(1)
    photos = scenes(12)
    corner = rng.uniform(0, 90, (300, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 60, (300, 1))], axis=1).astype(np.float32)
    candidates = Candidates(rng.integers(0, 12, 300), boxes, np.ones(300, np.float32))
    unit = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    faces = np.concatenate([scene.faces for scene in photos])
    points = faces[:, None, :2] + unit * (faces[:, None, 2:] - faces[:, None, :2])
    portraits = [Portrait(scene.name, scene.picture, points[i]) for i, scene in enumerate(photos)]
    batches: EpochBatches = (
        TileBatches(photos, config, portraits)
        if config.stage == "pnet"
        else CropBatches(photos, candidates, (portraits, faces), config)
    )
    batches.set_epoch(99)
    validation = [batches[i] for i in range(min(4, len(batches)))]
    facts: dict[str, object] = {"sources": ["wider"], "sha256": "0" * 64}
    return CascadeData(batches, validation, facts)
