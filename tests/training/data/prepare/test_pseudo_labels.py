"""Pseudo-labels: two predictions of a face, their mean, and photos that are left out."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.pipeline.faces import NO_FACES, Faces
from app.vision.points import five_of_ibug68, mirror
from app.vision.pyramid import ImagePyramid
from tests.training.landmark_sets import synthetic_faces
from training.data.prepare import pseudo_labels
from training.data.prepare.landmark_crops import SHAPES
from training.data.storage import landmark_crops

FACE = np.random.default_rng(0).uniform(20, 60, (1, 68, 2)).astype(np.float32)
WIDTH = 80
IMAGE = np.zeros((64, WIDTH, 3), np.uint8)
IMAGE[:, 0] = 255


class Teacher:
    """Returns the face's points, in the image or its mirrored copy, moved to the right by `offset` pixels."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset
        self.five: list[np.ndarray] = []

    def __call__(self, picture: ImagePyramid, five: np.ndarray) -> np.ndarray:
        self.five.append(five)
        mirrored = picture[0][0, 0, 0] == 0
        points = mirror(FACE, WIDTH, "ibug68") if mirrored else FACE
        return points + np.array([self.offset, 0], np.float32)


class Detector:
    def __init__(self, *scores: float) -> None:
        self.scores = scores

    def detect(self, *_: object) -> Faces:
        n = len(self.scores)
        five = np.repeat(five_of_ibug68(FACE), n, axis=0)
        return Faces(np.zeros((n, 4), np.float32), np.array(self.scores, np.float32), five) if n else NO_FACES


def test_each_person_has_a_limited_number_of_photos_evenly_spaced(tmp_path: Path) -> None:
    for person, count in (("set/a", 9), ("set/b", 2)):
        (tmp_path / person).mkdir(parents=True)
        for i in range(count):
            (tmp_path / person / f"{i}.jpg").touch()
    (tmp_path / "set/a/notes.txt").touch()
    photos = pseudo_labels.photos_of_people(tmp_path, 3)
    assert [path.relative_to(tmp_path).as_posix() for path in photos] == [
        "set/a/0.jpg",
        "set/a/4.jpg",
        "set/a/8.jpg",
        "set/b/0.jpg",
        "set/b/1.jpg",
    ]


def test_the_prediction_of_the_mirrored_face_is_mirrored_back() -> None:
    teacher = Teacher()
    first, second = pseudo_labels.predictions(IMAGE, five_of_ibug68(FACE), teacher)  # type: ignore[arg-type]
    np.testing.assert_allclose(second, first, atol=1e-4)
    np.testing.assert_allclose(teacher.five[1], five_of_ibug68(mirror(FACE, WIDTH, "ibug68")), atol=1e-4)


def test_the_mean_of_both_predictions_cancels_an_error_to_one_side(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "face.png"), IMAGE)
    labelled = pseudo_labels.label(tmp_path / "face.png", "face", Detector(0.99), Teacher(3.0))  # type: ignore[arg-type]
    assert labelled is not None
    sample, disagreement = labelled
    np.testing.assert_allclose(sample.points, FACE[0], atol=1e-4)
    eye_distance = np.linalg.norm(FACE[0, 36] - FACE[0, 45])
    assert disagreement == pytest.approx(6.0 / eye_distance, rel=1e-3)


@pytest.mark.parametrize("scores", [(), (0.9,), (0.99, 0.98)])
def test_a_photo_without_exactly_one_certain_face_is_left_out(
    scores: tuple[float, ...], tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "face.png"), IMAGE)
    assert pseudo_labels.label(tmp_path / "face.png", "face", Detector(*scores), Teacher()) is None  # type: ignore[arg-type]


MODELS = Path("models")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A prepared set with crops of the shape of the pseudo-labels, and a test split."""
    folder, shape = tmp_path / "labelled", SHAPES["face"]
    folder.mkdir()
    for split, seed in (("train", 0), ("test", 1)):
        faces = synthetic_faces(2, seed, side=shape.side, span=shape.span)
        names = tuple(f"{split}/{i}" for i in range(2))
        landmark_crops.save(folder / f"{split}.tfrecord", replace(faces, names=names, photos=names))
    (folder / "prepare.json").write_text(json.dumps({"sources": ["300w"], "sha256": "1" * 64}))
    return folder


def photos(folder: Path, *names: str) -> Path:
    """Write small photos of one person under a data folder; return it."""
    (folder / "identities" / "set" / "a").mkdir(parents=True)
    for name in names:
        photo = cv2.imread(str(Path("tests/photos") / name))
        assert photo is not None
        small = cv2.resize(photo, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / "identities" / "set" / "a" / name), small)
    return folder


def test_pseudo_labelled_faces_follow_the_labelled_ones(labelled: Path, tmp_path: Path) -> None:
    data, out = photos(tmp_path / "data", "obama.jpg"), tmp_path / "out"
    cv2.imwrite(str(data / "identities/set/a/wall.png"), np.full((40, 40, 3), 99, np.uint8))
    report: Any = pseudo_labels.prepare(data, labelled, out, "landmarks68", MODELS, 24)
    assert report["train"] == {
        "labelled": 2,
        "pseudo_labelled": 1,
        "left_out": {"not one certain face": 1, "duplicates of test": 0},
    }
    assert report["beside"] == "1" * 64
    assert report["sources"] == ["300w", "folders:set", "pseudolabels"]  # the teacher is for research only
    faces = landmark_crops.load(out / "train.tfrecord")
    assert faces.names == ("train/0", "train/1", "identities/set/a/obama.jpg")
    assert (out / "test.tfrecord").read_bytes() == (labelled / "test.tfrecord").read_bytes()
    assert not (out / "validation.tfrecord").exists()
    low, high = (faces.side - faces.span) / 2, (faces.side + faces.span) / 2
    assert ((faces.points[2] > low) & (faces.points[2] < high)).mean() > 0.9


@pytest.mark.parametrize(
    ("teacher", "message"),
    [("sface", "sface is not a landmark model"), ("landmarks15", "has the scheme kaggle15")],
)
def test_a_teacher_without_68_points_is_an_error(
    teacher: str, message: str, labelled: Path, tmp_path: Path
) -> None:
    data = photos(tmp_path / "data", "obama.jpg")
    with pytest.raises(ValueError, match=message):
        pseudo_labels.prepare(data, labelled, tmp_path / "out", teacher, MODELS, 24)


def test_photos_of_which_none_can_be_labelled_are_an_error(labelled: Path, tmp_path: Path) -> None:
    data = photos(tmp_path / "data")
    with pytest.raises(ValueError, match="holds no folders of people"):
        pseudo_labels.prepare(tmp_path, labelled, tmp_path / "out", "landmarks68", MODELS, 24)
    cv2.imwrite(str(data / "identities/set/a/wall.png"), np.full((40, 40, 3), 99, np.uint8))
    with pytest.raises(ValueError, match=r"No photo of .* can be labelled"):
        pseudo_labels.prepare(data, labelled, tmp_path / "out", "landmarks68", MODELS, 24)
    assert not (tmp_path / "out").exists()


def test_a_missing_set_is_an_error_before_any_photo_is_labelled(tmp_path: Path) -> None:
    data = photos(tmp_path / "data", "obama.jpg")
    with pytest.raises(FileNotFoundError, match=r"none/train\.tfrecord"):
        pseudo_labels.prepare(data, tmp_path / "none", tmp_path / "out", "landmarks68", MODELS, 24)
