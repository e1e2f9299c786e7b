"""Photos and portraits for training the cascade."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from app.vision.points import five_of_ibug68
from tests.training.landmark_sets import synthetic_faces
from training.data.datasets import scenes
from training.data.datasets.label_text import BadLabelFile
from training.data.storage import landmark_crops


def write_wider(root: Path, boxes: list[str]) -> None:
    """Write one photo of 80 x 60 pixels with boxes in WIDER FACE's format."""
    folder = root / "WIDER_train" / "images"
    for path in (folder, root / "wider_face_split"):
        path.mkdir(parents=True)
    cv2.imwrite(str(folder / "x.png"), np.full((60, 80, 3), (0, 0, 200), np.uint8))
    text = "\n".join(["x.png", str(len(boxes)), *boxes])
    (root / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_text(text)


def test_a_box_outside_of_its_photo_is_an_error(tmp_path: Path) -> None:
    write_wider(tmp_path, ["1 2 10 20 0 0 0 0 0 0", "40 30 79 59 0 0 0 0 0 0", "60 9 70 40 0 0 0 0 0 0"])
    with pytest.raises(BadLabelFile, match=r"x\.png: The centre of a box is outside of the photo of 80 x 60"):
        scenes.read_wider(tmp_path, "train")


def test_invalid_and_tiny_faces_of_wider_are_ignored(tmp_path: Path) -> None:
    boxes = ["1 2 10 20 0 0 0 0 0 0", "5 6 7 8 0 0 0 1 0 0", "9 9 7 7 0 0 0 0 0 0", "9 9 0 9 0 0 0 0 0 0"]
    write_wider(tmp_path, boxes)
    (scene,) = scenes.read_wider(tmp_path, "train")
    assert scene.name == "x.png"
    assert scene.picture[0][0, 0].tolist() == [200, 0, 0]
    assert scene.faces[:2].tolist() == [[1, 2, 11, 22], [5, 6, 12, 14]]
    assert scene.ignored.tolist() == [False, True, True, True]


def test_mtfl_is_read_in_the_order_of_five(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "testing.txt").write_text("a.png 1 2 3 4 5 6 7 8 9 10\n\n")
    (portrait,) = scenes.read_mtfl(tmp_path, "testing")
    assert portrait.points.tolist() == [[1, 6], [2, 7], [3, 8], [4, 9], [5, 10]]


@pytest.mark.parametrize("line", ["a.png 1 2 3", "a.png 1 2 3 4 5 6 7 8 9 ten", "a.png"])
def test_a_broken_line_of_mtfl_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "testing.txt").write_text(f"{line}\n")
    with pytest.raises(ValueError, match="line 1: A path and ten numbers are expected"):
        scenes.read_mtfl(tmp_path, "testing")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_mtfl_files_from_other_systems_are_read(tmp_path: Path, encoding: str, end: str) -> None:
    (tmp_path / "f").mkdir()
    cv2.imwrite(str(tmp_path / "f" / "a.png"), np.zeros((8, 8, 3), np.uint8))
    text = "\n f\\a.png 1 2 3 4 5 6 7 8 9 10 1 2 2 3\n\n"
    (tmp_path / "training.txt").write_bytes(text.replace("\n", end).encode(encoding))
    (portrait,) = scenes.read_mtfl(tmp_path, "training")
    assert portrait.name == "f/a.png"
    assert portrait.points.tolist() == [[1, 6], [2, 7], [3, 8], [4, 9], [5, 10]]


def test_crops_with_68_points_are_portraits_with_five(tmp_path: Path) -> None:
    faces = synthetic_faces(2, 0)
    landmark_crops.save(tmp_path / "train.tfrecord", faces)
    portraits = scenes.read_landmark_crops(tmp_path / "train.tfrecord")
    assert [p.name for p in portraits] == list(faces.names)
    assert [p.photo for p in portraits] == list(faces.photos)
    assert portraits[1].points == pytest.approx(five_of_ibug68(faces.points)[1])
    np.testing.assert_array_equal(portraits[1].picture[0], faces.images[1])


def test_the_faces_of_a_prepared_folder_follow_the_portraits_of_mtfl(tmp_path: Path) -> None:
    (tmp_path / "mtfl5").mkdir()
    cv2.imwrite(str(tmp_path / "mtfl5" / "a.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "mtfl5" / "training.txt").write_text("a.png 1 2 3 4 5 6 7 8 9 10\n")
    faces = synthetic_faces(2, 0)
    landmark_crops.save(tmp_path / "train.tfrecord", faces)
    assert [p.name for p in scenes.read_portraits(tmp_path, None)] == ["a.png"]
    assert [p.name for p in scenes.read_portraits(tmp_path, tmp_path)] == ["a.png", *faces.names]


def test_without_mtfl_the_portraits_are_the_prepared_faces(tmp_path: Path) -> None:
    faces = synthetic_faces(3, 0)
    landmark_crops.save(tmp_path / "train.tfrecord", faces)
    assert [p.name for p in scenes.read_portraits(tmp_path, tmp_path)] == list(faces.names)
    with pytest.raises(FileNotFoundError):
        scenes.read_portraits(tmp_path, None)
