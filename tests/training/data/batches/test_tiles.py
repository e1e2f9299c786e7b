"""Tiles for P-Net: the squares of the windows, their labels, and where the faces lie."""

import numpy as np

from app.vision import boxes
from app.vision.pyramid import ImagePyramid
from tests.training.batches import assert_depend_on_seed_and_epoch_alone
from tests.training.white_faces import scene, white_box
from training.config.columns import CascadeLabel
from training.config.schema import Augmentation, SampleShares, StageConfig
from training.data.batches.tiles import MEAN_FACE, TileBatches, label_windows, window_squares
from training.data.datasets.scenes import Portrait

CONFIG = StageConfig(
    name="small",
    stage="pnet",
    size=16,
    face_size=12,
    tile_size=64,
    epochs=1,
    steps=3,
    batch=8,
    learning_rate=1e-3,
    final_learning_rate=1e-4,
    augment=Augmentation(flip_share=0.5, shift=0.05, scale=0.1, rotate=10),
)
FACE, WEIGHT, PART = CascadeLabel.FACE, CascadeLabel.FACE_WEIGHT, CascadeLabel.OFFSETS_WEIGHT


def test_the_square_of_a_window_lies_in_its_centre() -> None:
    squares = window_squares(CONFIG)
    assert squares.shape == (25, 25, 4)
    assert squares[0, 0].tolist() == [2, 2, 14, 14]
    assert squares[3, 5].tolist() == [12, 8, 24, 20]


def test_windows_are_labelled_by_the_square_around_the_face() -> None:
    face = np.array([[13, 8, 23, 20]], np.float32)  # 10 wide, 12 high: its square is that of window (3, 5)
    labels = label_windows(window_squares(CONFIG), face, np.array([False]), CONFIG)
    assert labels[3, 5, [FACE, WEIGHT, PART]].tolist() == [1, 1, 1]
    np.testing.assert_allclose(labels[3, 5, CascadeLabel.OFFSETS], [1 / 12, 0, -1 / 12, 0], atol=1e-6)
    assert labels[3, 6, [FACE, WEIGHT]].tolist() == [1, 1]  # IoU 10 / 14
    assert labels[3, 7, [FACE, WEIGHT, PART]].tolist() == [0, 0, 1]  # 8 / 16: part of the face
    assert labels[20, 20, [FACE, WEIGHT, PART]].tolist() == [0, 1, 0]
    ignored = label_windows(window_squares(CONFIG), face, np.array([True]), CONFIG)
    assert not ignored[..., [FACE, PART]].any()
    assert ignored[3, 5, WEIGHT] == 0
    assert ignored[20, 20, WEIGHT] == 1


def test_faces_of_other_sizes_give_only_negatives() -> None:
    squares = window_squares(CONFIG)
    centre = np.array([[26, 26, 26, 26]], np.float32)
    none = np.array([False])
    for half, labelled in ((3.2, False), (3.4, True), (10.9, True), (11.1, False)):
        face = centre + np.array([[-half, -half, half, half]], np.float32)
        labels = label_windows(squares, face, none, CONFIG)
        assert (labels[..., WEIGHT] == 0).any() == labelled, half


def test_tiles_show_the_faces_where_the_labels_say() -> None:
    config = CONFIG.model_copy(
        update={"augment": Augmentation(flip_share=0.5), "batch": 40, "seed": 1, "steps": 1}
    )
    images, labels = TileBatches([scene()], config)[0]
    squares = window_squares(config)
    seen = 0
    for image, windows in zip(images, labels, strict=True):
        for i, j in zip(*np.nonzero(windows[..., FACE]), strict=True):
            offsets = windows[i, j, CascadeLabel.OFFSETS]
            box = boxes.apply_offsets(squares[i, j][None], offsets[None])[0]
            if (box >= 0).all() and (box <= config.tile_size).all():
                assert np.abs(box - white_box(image)).max() < 1.5
                seen += 1
    assert seen > 10


def portrait() -> Portrait:
    """Return a white square with a black dot at each of the five points of the mean face, off the centre."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[20:100, 50:130] = 255
    points = np.array([50, 20]) + 80 * MEAN_FACE - 0.5
    for x, y in points.round().astype(int):
        image[y - 3 : y + 4, x - 3 : x + 4] = 0
    return Portrait("p.png", ImagePyramid(image), points.astype(np.float32))


WITH_POINTS = CONFIG.model_copy(
    update={
        "points_weight": 1.0,
        "sample_shares": SampleShares(faces=0.0, near_faces=0.0, portraits=1.0),
        "augment": Augmentation(flip_share=0.5),
        "tile_size": 96,
        "size": 40,
        "face_size": 36,
        "steps": 1,
    }
)


def test_windows_of_a_portrait_have_points_where_the_tile_shows_them() -> None:
    images, labels = TileBatches([scene()], WITH_POINTS, [portrait()])[0]
    assert labels.shape[-1] == CascadeLabel.WIDTH_WITH_POINTS
    assert not labels[..., [FACE, WEIGHT, PART]].any()
    squares = window_squares(WITH_POINTS)
    seen = 0
    for image, windows in zip(images, labels, strict=True):
        for i, j in np.argwhere(windows[..., CascadeLabel.POINTS_WEIGHT] > 0):
            unit = windows[i, j, CascadeLabel.POINTS].reshape(5, 2)
            points = squares[i, j, :2] + unit * WITH_POINTS.face_size - 0.5
            for x, y in points:
                if 1 <= x < 94 and 1 <= y < 94:
                    assert image[round(y), round(x)].max() < 128
                    seen += 1
            assert points[0, 0] < points[1, 0], "the left eye is left in the tile, also in a mirrored one"
    assert seen > 100


def test_a_net_without_points_has_no_tiles_of_portraits() -> None:
    config = WITH_POINTS.model_copy(update={"points_weight": 0.0})
    (_, plain), (_, other) = (TileBatches([scene()], config, faces)[0] for faces in ([], [portrait()]))
    assert plain.shape[-1] == CascadeLabel.WIDTH
    np.testing.assert_array_equal(plain, other)


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    batches, other = (TileBatches([scene()], CONFIG.model_copy(update={"seed": seed})) for seed in (0, 9))
    assert len(batches) == CONFIG.steps
    assert_depend_on_seed_and_epoch_alone(batches, other)
