"""Prepared people: crops by the detector, exact copies left out, disjoint splits."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from app.errors import BadImage
from training.data.batches.embeddings import served_crops
from training.data.datasets.identities import read_people
from training.data.prepare.identity_crops import prepare, shape
from training.data.prepare.landmark_crops import Report
from training.data.storage import identity_crops
from training.data.storage.data_hash import hash_tfrecords

PEOPLE = {"obama", "obama2", "biden", "biden2"}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People with photos with a face, one without, and one twice under two names, in PNG and BMP.

    `obama2` and `biden2` have the mirrored photos of `obama` and `biden`.
    """
    folder = tmp_path_factory.mktemp("people") / "set"
    for person, names in {"obama": ("obama.jpg", "obama2.jpg"), "biden": ("biden.jpg",), "twice": ()}.items():
        (folder / person).mkdir(parents=True)
        for name in names:
            photo = cv2.imread(str(Path("tests/photos") / name))
            assert photo is not None
            small = cv2.resize(photo, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / person / f"{Path(name).stem}.png"), small)
            (folder / f"{person}2").mkdir(exist_ok=True)
            cv2.imwrite(str(folder / f"{person}2" / f"{Path(name).stem}.png"), small[:, ::-1])
    for name, value in (("biden/wall.png", 99), ("twice/same.png", 7), ("obama/same.bmp", 7)):
        cv2.imwrite(str(folder / name), np.full((8, 8, 3), value, np.uint8))
    return folder


def prepared(people: Path, out: Path, validation: int) -> Report:
    report = prepare(read_people([f"folders:{people}"]), out, validation, 0, Path("models"))
    (out / "prepare.json").write_text(json.dumps(report))
    return report


def test_prepared_people_are_disjoint_and_counted(people: Path, tmp_path: Path) -> None:
    prepared(people, tmp_path, validation=2)
    report = json.loads((tmp_path / "prepare.json").read_text())
    assert report["copies_across_people"] == ["set/obama/same.bmp", "set/twice/same.png"]
    assert report["train"]["undetected"] + report["validation"]["undetected"] == ["set/biden/wall.png"]
    assert {*report["train"]["names"], *report["validation"]["names"]} == {f"set/{p}" for p in PEOPLE}
    assert report["sha256"] == hash_tfrecords(tmp_path)
    faces = {split: identity_crops.load(tmp_path / f"{split}.tfrecord") for split in ("train", "validation")}
    by_person = {Path(a).parent.name for g in faces.values() for a in g.addresses}
    assert by_person == PEOPLE
    assert not {Path(a).parent for a in faces["train"].addresses} & {
        Path(a).parent for a in faces["validation"].addresses
    }
    assert sum(len(g) for g in faces.values()) == 6
    for name, g in faces.items():
        assert g.images.shape[1:] == (shape().side,) * 2 + (3,)
        assert served_crops(g, 48).shape == (len(g), 48, 48, 3)
        assert g.people == report[name]["people"] == 2


def test_tensorflow_reads_the_five_features_of_a_record(people: Path, tmp_path: Path) -> None:
    prepared(people, tmp_path, validation=2)
    kinds = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "height": tf.io.FixedLenFeature([], tf.int64),
        "width": tf.io.FixedLenFeature([], tf.int64),
        "address": tf.io.FixedLenFeature([], tf.string),
    }
    rows = [
        tf.io.parse_single_example(raw, kinds)
        for raw in tf.data.TFRecordDataset(str(tmp_path / "train.tfrecord"))
    ]
    labels = identity_crops.load(tmp_path / "train.tfrecord").labels
    assert [int(row["label"]) for row in rows] == labels.tolist()
    assert set(labels) == {0, 1}
    image = tf.io.decode_png(rows[0]["image"]).numpy()
    assert image.shape == (int(rows[0]["height"]), int(rows[0]["width"]), 3)
    np.testing.assert_array_equal(image, identity_crops.load(tmp_path / "train.tfrecord").images[0])


def test_photos_of_which_none_is_readable_are_an_error(tmp_path: Path) -> None:
    for person in ("a", "b"):
        (tmp_path / "set" / person).mkdir(parents=True)
        (tmp_path / "set" / person / "1.jpg").write_bytes(b"no image")
    with pytest.raises(BadImage, match=r"set/a/1\.jpg: The file is not an image"):
        prepared(tmp_path / "set", tmp_path, validation=2)


def test_people_without_a_detected_face_are_an_error(tmp_path: Path) -> None:
    for i in range(8):
        (tmp_path / "set" / f"p{i % 4}").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "set" / f"p{i % 4}" / f"{i}.png"), np.full((60, 60, 3), i, np.uint8))
    with pytest.raises(ValueError, match="Faces of only 0 people are detected in the 4 photos for train"):
        prepared(tmp_path / "set", tmp_path, validation=2)
