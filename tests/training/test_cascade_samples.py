from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy import ndarray

from app.vision import boxes
from app.vision.points import five_of_ibug68
from app.vision.pyramid import ImagePyramid
from training.cascade_config import Kinds, StageConfig
from training.config import Augmentation
from training.data import candidates, scenes, tiles
from training.data.candidates import Candidates, CropBatches
from training.data.scenes import Portrait, Scene

CONFIG = StageConfig(
    name="small",
    stage="onet",
    size=32,
    crop=1.4,
    kinds=Kinds(faces=0.3, near=0.3, points=0.2),
    epochs=1,
    steps=3,
    batch=32,
    learning_rate=1e-3,
    final_learning_rate=1e-4,
    augment=Augmentation(flip_share=0.5, shift=0.05, scale=0.1, rotate=10),
)
TILE = CONFIG.model_copy(update={"stage": "pnet", "size": 16, "face": 12, "tile": 64, "batch": 8})
FACE = np.array([60, 40, 90, 80], np.float32)


def picture(face: ndarray) -> ImagePyramid:
    """Grey, with the face's box in white."""
    image = np.full((160, 200, 3), 90, np.uint8)
    x1, y1, x2, y2 = face.astype(int)
    image[y1:y2, x1:x2] = 255
    return ImagePyramid(image)


def scene(ignored: bool = False) -> Scene:
    return Scene("a.jpg", picture(FACE), FACE[None], np.array([ignored]))


def right(pixels: float) -> ndarray:
    """The face's box, moved to the right."""
    return FACE + np.array([pixels, 0, pixels, 0], np.float32)


def around(middle: tuple[float, float], side: float) -> ndarray:
    x, y = middle
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)


def white(image: ndarray) -> ndarray:
    """The box of what is white in a crop, half-open."""
    y, x = np.nonzero(image.mean(axis=2) > 170)
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], np.float32)


def crops(kinds: Kinds, found: ndarray, ignored: bool = False, **augment: float) -> CropBatches:
    config = CONFIG.model_copy(update={"kinds": kinds, "augment": Augmentation(**augment)})
    proposals = Candidates(np.zeros(len(found), np.int64), found, np.ones(len(found), np.float32))
    points = np.array([[8, 8], [24, 8], [16, 16], [10, 24], [22, 24]], np.float32)
    portrait = Portrait("b.jpg", ImagePyramid(np.full((32, 32, 3), 200, np.uint8)), points)
    guess = np.array([[4, 2, 28, 30]], np.float32)
    return CropBatches([scene(ignored)], proposals, ([portrait], guess), config)


def test_faces_offsets_lead_to_the_face_in_the_crop() -> None:
    batch = crops(Kinds(faces=1, near=0), FACE[None], flip_share=0.5, shift=0.1, scale=0.1)
    images, truth = batch.batch(np.random.default_rng(0))
    for image, row in zip(images, truth, strict=True):
        assert row[6] == 1
        box = (row[2:6] + np.array([0, 0, 1, 1])) * CONFIG.size
        assert np.abs(box - white(image)).max() < 1.1


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        (FACE, (1, 1, 1)),
        (right(6), (1, 1, 1)),  # IoU 0.67
        (right(10), (0, 0, 1)),  # 0.5: part of a face, neither face nor none
        (right(15), (0, 0, 0)),  # 0.33: between all kinds
        (right(20), (0, 1, 0)),  # 0.2
        (around((150, 120), 30), (0, 1, 0)),
    ],
)
def test_kinds_go_by_overlap(box: ndarray, kind: tuple[int, int, int]) -> None:
    near = boxes.iou(box[None], FACE[None])[0, 0] >= CONFIG.negative
    batch = crops(Kinds(faces=0, near=1.0 if near else 0), box[None])
    _, truth = batch.batch(np.random.default_rng(0))
    assert {tuple(row) for row in truth[:, [0, 1, 6]]} == {tuple(map(float, kind))}


def test_what_is_on_an_ignored_face_counts_as_nothing() -> None:
    batch = crops(Kinds(faces=0, near=0), FACE[None], ignored=True)
    _, truth = batch.batch(np.random.default_rng(0))
    assert not truth[:, [1, 6]].any()


def test_portraits_bring_points_and_mirror_them() -> None:
    batch = crops(Kinds(faces=0, near=0, points=1), FACE[None], flip_share=0.5)
    _, truth = batch.batch(np.random.default_rng(0))
    assert truth[:, 17].all()
    assert not truth[:, 6].any()
    points = truth[:, 7:17].reshape(-1, 5, 2)
    assert (points[:, 0, 0] < points[:, 1, 0]).all()  # image-left eye first, mirrored or not
    assert (points[:, 3, 0] < points[:, 4, 0]).all()
    kinds = np.unique(points[:, 3, 0].round(3))
    assert len(kinds) == 2  # the mouth's corners lie at different distances from the middle


def test_batches_depend_on_seed_epoch_and_number() -> None:
    for source in (crops(CONFIG.kinds, FACE[None] + 30, flip_share=0.5), tiles.Tiles([scene()], TILE)):
        first, again = list(source.epoch(2)), list(source.epoch(2))
        assert len(first) == CONFIG.steps
        for (a, p), (b, q) in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(p, q)
        assert not np.array_equal(first[0][0], next(source.epoch(3))[0])
        assert not np.array_equal(first[0][0], next(source.epoch(2, seed=9))[0])


def test_a_windows_square_lies_in_its_middle() -> None:
    squares = tiles.cells(TILE)
    assert squares.shape == (25, 25, 4)
    assert squares[0, 0].tolist() == [2, 2, 14, 14]
    assert squares[3, 5].tolist() == [12, 8, 24, 20]


def test_windows_count_by_the_square_around_the_face() -> None:
    face = np.array([[13, 8, 23, 20]], np.float32)  # 10 wide, 12 tall: its square is window (3, 5)'s
    truth = tiles.label(tiles.cells(TILE), face, np.array([False]), TILE)
    assert truth[3, 5, [0, 1, 6]].tolist() == [1, 1, 1]
    np.testing.assert_allclose(truth[3, 5, 2:6], [1 / 12, 0, -1 / 12, 0], atol=1e-6)
    assert truth[3, 6, [0, 1]].tolist() == [1, 1]  # IoU 10 / 14
    assert truth[3, 7, [0, 1, 6]].tolist() == [0, 0, 1]  # 8 / 16: part
    assert truth[20, 20, [0, 1, 6]].tolist() == [0, 1, 0]
    blind = tiles.label(tiles.cells(TILE), face, np.array([True]), TILE)
    assert not blind[..., [0, 6]].any()
    assert blind[3, 5, 1] == 0
    assert blind[20, 20, 1] == 1


def test_pieces_show_the_faces_where_the_truth_says() -> None:
    config = TILE.model_copy(update={"augment": Augmentation(flip_share=0.5), "batch": 40})
    images, truth = tiles.Tiles([scene()], config).batch(np.random.default_rng(1))
    squares = tiles.cells(config)
    seen = 0
    for image, labels in zip(images, truth, strict=True):
        for i, j in zip(*np.nonzero(labels[..., 0]), strict=True):
            box = boxes.apply_offsets(squares[i, j][None], labels[i, j, 2:6][None])[0]
            if (box >= 0).all() and (box <= config.tile).all():
                assert np.abs(box - white(image)).max() < 1.5
                seen += 1
    assert seen > 10


def test_candidates_come_back_and_are_numbered_anew(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = Candidates(
        rng.integers(0, 6, 50), rng.uniform(0, 9, (50, 4)).astype(np.float32), np.ones(50, np.float32)
    )
    candidates.save(tmp_path / "a.npz", found, np.zeros((2, 4), np.float32))
    again, guesses = candidates.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(again.boxes, found.boxes)
    assert guesses.shape == (2, 4)
    part = again.of(np.array([4, 1]))
    assert len(part) == np.isin(found.photo, [1, 4]).sum()
    np.testing.assert_array_equal(part.boxes[part.photo == 0], found.boxes[found.photo == 4])


def test_mtfl_is_read_in_the_order_of_five(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "testing.txt").write_text("a.png 1 2 3 4 5 6 7 8 9 10\n\n")
    (portrait,) = scenes.read_mtfl(tmp_path, "testing")
    assert portrait.points.tolist() == [[1, 6], [2, 7], [3, 8], [4, 9], [5, 10]]
    (tmp_path / "testing.txt").write_text("a.png 1 2 3\n")
    with pytest.raises(ValueError, match="line 1: not a path and ten numbers"):
        scenes.read_mtfl(tmp_path, "testing")


def test_about_the_share_is_held_out_and_always_the_same() -> None:
    names = [f"{i}.jpg" for i in range(2000)]
    held = [scenes.held_out(name, 0.1, 0) for name in names]
    assert 140 < sum(held) < 260
    assert held == [scenes.held_out(name, 0.1, 0) for name in names]
    assert held != [scenes.held_out(name, 0.1, 1) for name in names]


def test_boxes_of_other_portraits_lie_around_their_points_alike() -> None:
    points = np.array([[30, 40], [50, 40], [40, 52], [33, 62], [47, 62]], np.float32)
    known = [Portrait("a", picture(FACE), points), Portrait("b", picture(FACE), points + 7)]
    given = np.array([[20, 20, 60, 75], [27, 27, 67, 82]], np.float32)
    other = Portrait("c", picture(FACE), points * 2 + np.array([5, -3], np.float32))
    (box,) = scenes.alike(known, given, [other])
    assert box == pytest.approx(given[0] * 2 + [5, -3, 5, -3], abs=1e-3)


def test_faces_with_68_points_are_portraits_with_five(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.random.default_rng(0).uniform(0, 30, (2, 68, 2)).astype(np.float32)
    faces = SimpleNamespace(points=points, names=("a", "b"), images=np.zeros((2, 32, 32, 3), np.uint8))
    monkeypatch.setattr("training.data.crops.load", lambda path: faces)
    found = scenes.read_crops(tmp_path / "train.tfrecord")
    assert [p.name for p in found] == ["a", "b"]
    assert found[1].points == pytest.approx(five_of_ibug68(points)[1])
