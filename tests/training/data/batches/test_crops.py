"""Crops for R- and O-Net: which samples they are, and where their labels lie."""

from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from app.vision import boxes
from app.vision.pyramid import ImagePyramid
from tests.training.batches import assert_depend_on_seed_and_epoch_alone
from tests.training.white_faces import FACE, scene, white_box
from training.config.columns import CascadeLabel
from training.config.registry import RunError
from training.config.schema import Augmentation, SampleShares, StageConfig
from training.data.batches.crops import CropBatches
from training.data.datasets.scenes import Portrait
from training.data.storage.candidates import Candidates

CONFIG = StageConfig(
    name="small",
    stage="onet",
    size=32,
    crop_scale=1.4,
    sample_shares=SampleShares(faces=0.3, near_faces=0.3, portraits=0.2),
    epochs=1,
    steps=3,
    batch=32,
    learning_rate=1e-3,
    final_learning_rate=1e-4,
    augment=Augmentation(flip_share=0.5, shift=0.05, scale=0.1, rotate=10),
)
WHITE = np.full((32, 32, 3), 200, np.uint8)
KINDS = [CascadeLabel.FACE, CascadeLabel.FACE_WEIGHT, CascadeLabel.OFFSETS_WEIGHT]


def shifted(pixels: float) -> ndarray:
    """Return the face's box, moved to the right."""
    return FACE + np.array([pixels, 0, pixels, 0], np.float32)


def around(centre: tuple[float, float], side: float) -> ndarray:
    x, y = centre
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)


def crop_batches(
    shares: SampleShares,
    candidates: ndarray,
    ignored: bool = False,
    picture: ndarray = WHITE,
    **changes: Any,
) -> CropBatches:
    """Return the batches of one photo and one portrait.

    Args:
        shares: shares of the samples.
        candidates: candidates in the photo (n, 4).
        ignored: whether the photo's face is ignored.
        picture: the pixels of the portrait.
        changes: fields of the augmentation, or `stage` or `seed` of the run.
    """
    run = {name: changes.pop(name) for name in ("stage", "seed") if name in changes}
    config = CONFIG.model_copy(
        update=run | {"sample_shares": shares, "augment": Augmentation.model_validate(changes)}
    )
    count = len(candidates)
    of_photo = Candidates(np.zeros(count, np.int64), candidates, np.ones(count, np.float32))
    points = np.array([[8, 8], [24, 8], [16, 16], [10, 24], [22, 24]], np.float32)
    portrait = Portrait("b.jpg", ImagePyramid(picture), points)
    box = np.array([[4, 2, 28, 30]], np.float32)
    return CropBatches([scene(ignored)], of_photo, ([portrait], box), config)


def test_the_offsets_of_a_face_lead_to_the_face_in_the_crop() -> None:
    shares = SampleShares(faces=1, near_faces=0)
    images, labels = crop_batches(shares, FACE[None], flip_share=0.5, shift=0.1, scale=0.1)[0]
    for image, row in zip(images, labels, strict=True):
        assert row[CascadeLabel.OFFSETS_WEIGHT] == 1
        box = (row[CascadeLabel.OFFSETS] + np.array([0, 0, 1, 1])) * CONFIG.size
        assert np.abs(box - white_box(image)).max() < 1.1


@pytest.mark.parametrize(
    ("box", "labels"),
    [
        (FACE, (1, 1, 1)),
        (shifted(6), (1, 1, 1)),  # IoU 0.67
        (shifted(10), (0, 0, 1)),  # 0.5: part of a face, neither positive nor negative
        (shifted(15), (0, 0, 0)),  # 0.33: between all kinds
        (shifted(20), (0, 1, 0)),  # 0.2
        (around((150, 120), 30), (0, 1, 0)),
    ],
)
def test_the_overlap_decides_the_labels(box: ndarray, labels: tuple[int, int, int]) -> None:
    near = boxes.iou(box[None], FACE[None])[0, 0] >= CONFIG.negative_iou
    batches = crop_batches(SampleShares(faces=0, near_faces=1.0 if near else 0), box[None])
    rows = batches[0][1]
    assert {tuple(row) for row in rows[:, KINDS]} == {tuple(map(float, labels))}


def test_a_crop_of_an_ignored_face_has_no_labels() -> None:
    batches = crop_batches(SampleShares(faces=0, near_faces=0), FACE[None], ignored=True)
    labels = batches[0][1]
    assert not labels[:, [CascadeLabel.FACE_WEIGHT, CascadeLabel.OFFSETS_WEIGHT]].any()


def test_portraits_have_points_which_are_mirrored_with_the_image() -> None:
    shares = SampleShares(faces=0, near_faces=0, portraits=1)
    labels = crop_batches(shares, FACE[None], flip_share=0.5)[0][1]
    assert labels[:, CascadeLabel.POINTS_WEIGHT].all()
    assert not labels[:, CascadeLabel.OFFSETS_WEIGHT].any()
    points = labels[:, CascadeLabel.POINTS].reshape(-1, 5, 2)
    assert (points[:, 0, 0] < points[:, 1, 0]).all()  # the image's left eye first, mirrored or not
    assert (points[:, 3, 0] < points[:, 4, 0]).all()
    positions = np.unique(points[:, 3, 0].round(3))
    assert len(positions) == 2  # the corners of the mouth lie at different distances from the centre


def test_the_border_of_a_portrait_is_black_or_its_mirror_image() -> None:
    shares = SampleShares(faces=0, near_faces=0, portraits=1)
    (black, labels), (mirrored, same) = (
        crop_batches(shares, FACE[None], edge_share=share, flip_share=0.0)[0] for share in (0.0, 1.0)
    )
    np.testing.assert_array_equal(labels, same)
    assert (black == 0).any()
    inside = (black == 200).all(axis=-1)
    assert inside.any()
    assert (mirrored == 200).all()


def test_a_mirrored_border_continues_the_picture_and_leaves_it_in_place() -> None:
    shade = np.broadcast_to(np.arange(40, 200, 5, dtype=np.uint8)[None, :, None], (32, 32, 3))
    shares = SampleShares(faces=0, near_faces=0, portraits=1)
    black, mirrored = (
        crop_batches(shares, FACE[None], picture=shade, edge_share=share)[0][0][0, 16, :, 0]
        for share in (0.0, 1.0)
    )
    inside = np.flatnonzero(black >= 40)
    np.testing.assert_allclose(mirrored[inside], black[inside], atol=1)
    first = inside[0]
    assert first > 2
    np.testing.assert_allclose(mirrored[:first], mirrored[first + 1 : 2 * first + 1][::-1], atol=8)


def test_labels_of_rnet_have_no_points() -> None:
    shares = SampleShares(faces=0.3, near_faces=0, portraits=0.3)
    _, labels = crop_batches(shares, FACE[None] + 90, stage="rnet")[0]
    assert labels.shape == (CONFIG.batch, CascadeLabel.WIDTH)


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    batches, other = (
        crop_batches(CONFIG.sample_shares, FACE[None] + 30, flip_share=0.5, seed=seed) for seed in (0, 9)
    )
    assert len(batches) == CONFIG.steps
    assert_depend_on_seed_and_epoch_alone(batches, other)


def test_candidates_without_a_negative_are_an_error() -> None:
    with pytest.raises(RunError, match="have no negatives"):
        crop_batches(SampleShares(faces=0, near_faces=0.5), FACE[None])
