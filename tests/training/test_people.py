"""Readers of people, exact copies, people kept out, and the records they become."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from training.data import gallery, people, prepare_people, records


def write(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 8, 3), value, np.uint8))
    return path


def test_folders_of_people_come_in_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.png", "a/x.jpg"):
        write(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    (tmp_path / "list.txt").write_text("no person")
    found = list(people.read_folders(tmp_path))
    assert [(p.person, p.address) for p in found] == [("a", "a/x.jpg"), ("b", "b/1.png"), ("b", "b/2.png")]


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no folders of people"):
        list(people.read_folders(tmp_path))


@pytest.mark.parametrize("folder", ["img_celeba", "img_align_celeba", "."])
def test_celeba_by_its_identity_file(tmp_path: Path, folder: str) -> None:
    for name in ("000001.png", "000002.png", "000003.png"):
        write(tmp_path / folder / name)
    (tmp_path / "identity_CelebA.txt").write_text("000001.png 70\n000002.png 8\n000003.png 70\n")
    found = list(people.read_celeba(tmp_path))
    assert [(p.person, p.path.name) for p in found] == [
        ("00008", "000002.png"),
        ("00070", "000001.png"),
        ("00070", "000003.png"),
    ]
    assert all(p.path.exists() for p in found)


def test_a_broken_identity_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "identity_CelebA.txt").write_text("000001.jpg 1\n000002.jpg someone\n")
    with pytest.raises(ValueError, match="line 2"):
        list(people.read_celeba(tmp_path))


def test_an_identity_file_without_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "identity_CelebA.txt").write_text("000001.jpg 1\n")
    with pytest.raises(FileNotFoundError, match="not its pictures"):
        list(people.read_celeba(tmp_path))


def test_lfw_leaves_out_everyone_in_its_pairs_files(tmp_path: Path) -> None:
    for name in ("Ann", "Bob", "Cy", "Di"):
        write(tmp_path / name / f"{name}_0001.jpg")
    (tmp_path / "pairsDevTest.txt").write_text("1\nAnn 1 2\nAnn 1 Bob 3\n")
    (tmp_path / "pairs.txt").write_text("1 1\nAnn 1 2\nCy 1 Ann 3\n")
    assert [p.person for p in people.read_lfw(tmp_path)] == ["Di"]


def test_several_sources_keep_their_people_apart(tmp_path: Path) -> None:
    write(tmp_path / "one" / "a" / "x.png")
    write(tmp_path / "two" / "a" / "x.png")
    found = people.read_people([f"folders:{tmp_path / 'one'}", f"folders:{tmp_path / 'two'}"])
    assert [p.person for p in found] == ["one/a", "two/a"]
    assert [p.address for p in found] == ["one/a/x.png", "two/a/x.png"]


@pytest.mark.parametrize("source", ["folders", "zip:x", "folders:"])
def test_an_unknown_source_names_those_there_are(source: str) -> None:
    with pytest.raises(ValueError, match="folders, celeba, lfw"):
        people.read_people([source])


def test_copies_across_people_all_go_and_within_a_person_one_stays() -> None:
    who = ["a", "a", "b", "b", "c", "a"]
    found = people.copies(who, [b"1", b"2", b"2", b"3", b"4", b"1"])
    assert found == ([0, 3, 4], [1, 2], [5])


def test_people_kept_out_do_not_change_when_others_join() -> None:
    names = [f"p{i}" for i in range(50)]
    kept = people.held_out(names, 10, 0)
    assert len(kept) == 10
    assert kept == people.held_out(reversed(names), 10, 0)
    assert kept != people.held_out(names, 10, 1)
    assert people.held_out([*kept, "new"], 10, 0) >= kept - {"p"} - people.held_out([*kept, "new"], 11, 0)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three people: photographs with a face, one without, one twice under two names, in PNG and BMP."""
    photos = Path("tests/photos")
    for person, names in {"obama": ("obama.jpg", "obama2.jpg"), "biden": ("biden.jpg",)}.items():
        for name in names:
            photo = cv2.imread(str(photos / name))
            assert photo is not None
            small = cv2.resize(photo, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
            target = tmp_path / "set" / person / f"{Path(name).stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), small)
    write(tmp_path / "set" / "biden" / "wall.png", 99)
    write(tmp_path / "set" / "twice" / "same.png", 7)
    write(tmp_path / "set" / "obama" / "same.bmp", 7)
    return tmp_path


def test_prepared_people_are_faces_told_apart_and_counted(three: Path) -> None:
    out = three / "out"
    prepare_people.main([f"folders:{three / 'set'}"], out, Path("models"), validation=1)
    report = json.loads((out / "prepare.json").read_text())
    assert report["copies_across_people"] == ["set/obama/same.bmp", "set/twice/same.png"]
    assert report["train"]["undetected"] + report["validation"]["undetected"] == ["set/biden/wall.png"]
    assert {*report["train"]["names"], *report["validation"]["names"]} == {"set/obama", "set/biden"}
    faces = {split: gallery.load(out / f"{split}.tfrecord") for split in ("train", "validation")}
    by_person = {Path(a).parent.name for g in faces.values() for a in g.addresses}
    assert by_person == {"obama", "biden"}
    assert not {Path(a).parent for a in faces["train"].addresses} & {
        Path(a).parent for a in faces["validation"].addresses
    }
    assert sum(len(g) for g in faces.values()) == 3
    for name, g in faces.items():
        assert g.images.shape[1:] == (prepare_people.SHAPE.side,) * 2 + (3,)
        assert g.plain(48).shape == (len(g), 48, 48, 3)
        assert g.people == report[name]["people"] == 1


def test_records_hold_the_five_features_that_tensorflow_reads(three: Path) -> None:
    out = three / "out"
    prepare_people.main([f"folders:{three / 'set'}"], out, Path("models"), validation=0)
    kinds = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "height": tf.io.FixedLenFeature([], tf.int64),
        "width": tf.io.FixedLenFeature([], tf.int64),
        "address": tf.io.FixedLenFeature([], tf.string),
    }
    rows = [
        tf.io.parse_single_example(raw, kinds) for raw in tf.data.TFRecordDataset(str(out / "train.tfrecord"))
    ]
    assert [int(row["label"]) for row in rows] == [0, 1, 1]
    picture = tf.io.decode_png(rows[0]["image"]).numpy()
    assert picture.shape == (int(rows[0]["height"]), int(rows[0]["width"]), 3)
    np.testing.assert_array_equal(picture, gallery.load(out / "train.tfrecord").images[0])


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    records.write(tmp_path / "train.tfrecord", [])
    with pytest.raises(ValueError, match="no faces"):
        gallery.load(tmp_path / "train.tfrecord")
