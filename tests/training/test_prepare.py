"""`python -m training.prepare`: what the subcommands write, and their errors."""

import errno
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from app.vision import align
from tests.training.kaggle_files import pictures, write_training
from training.data.datasets import kaggle
from training.data.storage import identity_crops, landmark_crops
from training.data.storage.prepared import read_report
from training.prepare import app

PHOTO = "tests/photos/obama.jpg"
HEADER = ",".join([*kaggle.COORDINATES, "Image\n"]).encode()


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_refused(result: Result, message: str, out: Path) -> None:
    """Assert that the command ended with one line and wrote nothing."""
    assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output
    assert message in result.output
    assert not out.exists()


@pytest.fixture
def kaggle_data(tmp_path: Path) -> Path:
    """Twelve images in Kaggle's format, of which one has few labels."""
    face = np.full((15, 2), 48, np.float32)
    face[kaggle.FIVE] = align.template("kaggle15", 96)
    faces = np.tile(face, (12, 1, 1))
    faces[3, 11:13] = np.nan
    write_training(tmp_path / "data" / "kaggle15", pictures(12), faces)
    return tmp_path / "data"


def test_landmarks_are_written_with_a_report(kaggle_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--source", "kaggle15", "--crop", "picture", "--complete", "--validation", "3", "--seed", "1")
    result = command("landmarks", "--data", kaggle_data, "--out", out, *options)
    assert result.exit_code == 0, result.output
    report = json.loads((out / "prepare.json").read_text())
    assert json.loads(result.output) == report
    assert (report["sources"], report["seed"], report["complete"]) == (["kaggle15"], 1, True)
    assert report["train"]["undetected"] == [], "no detector is asked about whole portraits"
    assert report["rows_of_300w"] == 0
    counts = {split: len(landmark_crops.load(out / f"{split}.tfrecord")) for split in ("train", "validation")}
    assert counts == {"train": 8, "validation": 3}
    assert {split: report[split]["faces"] for split in counts} == counts
    assert len(report["sha256"]) == 64


def test_a_long_list_of_the_report_is_counted_on_the_terminal(tmp_path: Path) -> None:
    folder = write_people(tmp_path / "set", [2] * 14)
    out = tmp_path / "out"
    result = command("identities", "--source", f"folders:{folder}", "--out", out)
    names = json.loads((out / "prepare.json").read_text())["train"]["names"]
    assert len(names) == 12
    assert json.loads(result.stdout)["train"]["names"] == "12 names, listed in prepare.json"


def test_identities_are_written_with_a_report(tmp_path: Path) -> None:
    folder = write_people(tmp_path / "set", [2, 2, 2, 2])
    out = tmp_path / "out"
    result = command("identities", "--source", f"folders:{folder}", "--out", out)
    assert result.exit_code == 0, result.output
    report = json.loads((out / "prepare.json").read_text())
    assert report["sources"] == ["folders:set"]
    assert report["seed"] == 0
    for split in ("train", "validation"):
        faces = identity_crops.load(out / f"{split}.tfrecord")
        assert len(faces) == report[split]["faces"] == 4
        assert faces.people == report[split]["people"] == 2
    assert read_report(out, "identities") == report


def write_people(root: Path, photos: list[int]) -> Path:
    """Write a folder of people with so many photos each; all are the same face in another size."""
    photo = cv2.imread(PHOTO)
    assert photo is not None
    sizes = iter(range(180, 999))
    for person, count in enumerate(photos):
        (root / f"p{person}").mkdir(parents=True)
        for i in range(count):
            height = next(sizes)
            width = round(photo.shape[1] * height / photo.shape[0])
            small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(root / f"p{person}" / f"{i}.png"), small)
    return root


def test_unreadable_photos_of_people_are_left_out_and_named(tmp_path: Path) -> None:
    folder, out = write_people(tmp_path / "set", [2, 2, 2, 2]), tmp_path / "out"
    (folder / "p0" / "text.jpg").write_text("no image")
    (folder / "p1" / "half.png").write_bytes((folder / "p1" / "0.png").read_bytes()[:2000])
    result = command("identities", "--source", f"folders:{folder}", "--out", out)
    assert result.exit_code == 0, result.output
    report = json.loads((out / "prepare.json").read_text())
    assert report["unreadable"] == ["set/p0/text.jpg", "set/p1/half.png"]
    assert report["train"]["faces"] + report["validation"]["faces"] == 8


def test_a_set_is_replaced_and_what_was_beside_it_stays(tmp_path: Path) -> None:
    folder, out = write_people(tmp_path / "set", [2, 2, 2, 2]), tmp_path / "out"
    out.mkdir()
    for name in ("test.tfrecord", "prepare.json", "notes.txt"):
        (out / name).write_text("old")
    assert command("identities", "--source", f"folders:{folder}", "--out", out).exit_code == 0
    names = ["notes.txt", "prepare.json", "train.tfrecord", "validation.tfrecord"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "set"]


@pytest.mark.parametrize(
    ("photos", "validation", "message"),
    [
        ([2] * 12, "30", "--validation 30 is 30 people. There are 12 people"),
        ([2] * 12, "11", "--validation 11 is 11 people."),
        ([2] * 3, "0.1", "--validation 0.1 is 2 people. There are 3 people, 3 of them with two or more"),
        (
            [1] * 5,
            "0.1",
            "There are 5 people, 0 of them with two or more images. Validation",
        ),
        ([2] * 5, "1", "--validation 1 is 1 people."),
        ([2] * 5, "0", "--validation 0 is 0 people."),
        ([2] * 5, "2.5", "--validation 2.5 is not valid. Give a share below 1, or a whole number."),
        ([0] * 5, "2", "hold no images (.jpg, "),
    ],
)
def test_a_split_without_enough_people_is_refused(
    photos: list[int], validation: str, message: str, tmp_path: Path
) -> None:
    folder, out = write_people(tmp_path / "set", photos), tmp_path / "out"
    result = command("identities", "--source", f"folders:{folder}", "--out", out, "--validation", validation)
    assert_refused(result, message, out)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ("12", "--validation 12 takes 12 of 12 training faces, which are of 12 photos."),
        ("0", "--validation 0 takes 0 of 12 training faces, which are of 12 photos."),
        ("1.5", "--validation 1.5 is not valid."),
    ],
)
def test_a_split_without_faces_is_refused(
    kaggle_data: Path, validation: str, message: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--source", "kaggle15", "--crop", "picture", "--validation", validation)
    assert_refused(command("landmarks", "--data", kaggle_data, "--out", out, *options), message, out)


def test_a_failure_leaves_no_part_of_a_set(kaggle_data: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landmark_crops, "save", full_device)
        options = ("--source", "kaggle15", "--crop", "picture")
        result = command("landmarks", "--data", kaggle_data, "--out", tmp_path / "out", *options)
    assert_refused(result, "No space is left on the device", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def full_device(path: Path, faces: object) -> None:
    """Write a part of a file, and fail as a full device does."""
    path.write_text("x")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_unknown_dataset_lists_those_there_are(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = command("landmarks", "--data", tmp_path, "--out", out, "--source", "300", "--source", "kaggle15")
    assert_refused(result, "There is no dataset 300. The datasets are: 300w, kaggle15, pts.", out)


def test_a_folder_without_the_dataset_is_an_error(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = command("landmarks", "--data", tmp_path, "--out", out)
    assert_refused(result, f"{tmp_path} holds no faces of 300w. Give the folder that holds", out)
    missing = command("landmarks", "--data", tmp_path, "--out", out, "--source", "kaggle15")
    assert_refused(missing, "kaggle15", out)
    without = command("landmarks", "--data", tmp_path, "--out", out, "--source", "pts")
    assert_refused(without, f"{tmp_path} holds no .pts files. Give --data the folder that holds them.", out)


def test_a_damaged_label_file_is_named(tmp_path: Path) -> None:
    folder, out = tmp_path / "300w" / "afw", tmp_path / "out"
    folder.mkdir(parents=True)
    (folder / "1_1.pts").write_text("version: 1\n")
    (folder / "1_1.jpg").write_bytes(b"")
    result = command("landmarks", "--data", tmp_path, "--out", out)
    assert_refused(result, "1_1.pts", out)


def without_column(folder: Path, column: str) -> None:
    path = folder / "kaggle15" / "training.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()]
    left_out = rows[0].index(column)
    path.write_text("".join(",".join(row[:left_out] + row[left_out + 1 :]) + "\n" for row in rows))


def test_a_missing_column_of_labels_is_a_warning(kaggle_data: Path, tmp_path: Path) -> None:
    without_column(kaggle_data, "left_eye_inner_corner_x")
    out = tmp_path / "out"
    result = command(
        "landmarks", "--data", kaggle_data, "--out", out, "--source", "kaggle15", "--crop", "picture"
    )
    assert result.exit_code == 0, result.output
    crops = landmark_crops.load(out / "train.tfrecord")
    unlabelled = np.isnan(crops.points).all(axis=(0, 2))
    assert unlabelled.nonzero()[0].tolist() == [kaggle.COORDINATES.index("left_eye_inner_corner_x") // 2]


def test_no_complete_face_is_an_error(kaggle_data: Path, tmp_path: Path) -> None:
    without_column(kaggle_data, "left_eye_inner_corner_x")
    result = command(
        "landmarks", "--data", kaggle_data, "--out", tmp_path / "out", "--source", "kaggle15", "--complete"
    )
    assert result.exit_code == 1
    assert "No face of kaggle15 has all points labelled. Leave out --complete." in result.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "training.csv: The file is empty."),
        (
            HEADER + b"," * 30 + b"\xe9\n",
            "training.csv, line 2: The line has bytes that are not valid UTF-8.",
        ),
        (HEADER + b"," * 30 + b"2 3\n", "training.csv, line 2: Image has 2 numbers."),
    ],
)
def test_a_fault_of_kaggles_file_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "kaggle15").mkdir()
    (tmp_path / "kaggle15" / "training.csv").write_bytes(content)
    out = tmp_path / "out"
    result = command("landmarks", "--data", tmp_path, "--out", out, "--source", "kaggle15")
    assert_refused(result, message, out)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("zip:x", "zip:x"),
        ("folders:", "folders:"),
        ("folders:none", "none"),
        ("folders:empty", "holds no folders of people"),
        ("celeba:empty", "identity_CelebA.txt"),
    ],
)
def test_an_unusable_source_of_people_is_an_error(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    assert_refused(command("identities", "--source", source, "--out", out), message, out)


def test_pseudo_labels_need_photos_and_a_prepared_set(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--data", tmp_path, "--beside", tmp_path / "none", "--out", out)
    assert_refused(command("pseudo-labels", *options), f"{tmp_path / 'none' / 'train.tfrecord'}", out)


def test_a_missing_model_store_is_an_error(kaggle_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--data", kaggle_data, "--out", out, "--models", tmp_path / "none")
    result = command("landmarks", "--source", "kaggle15", *options)
    assert_refused(result, f"{tmp_path / 'none' / 'manifest.json'} cannot be read", out)


@pytest.mark.parametrize(
    "arguments",
    [
        ("landmarks", "--data", "d", "--out", "o", "--validation", "-0.1"),
        ("landmarks", "--data", "d", "--out", "o", "--crop", "square"),
        ("identities", "--source", "folders:x", "--out", "o", "--validation", "-1"),
        ("pseudo-labels", "--data", "d", "--beside", "b", "--out", "o", "--max-images", "0"),
        ("landmarks", "--out", "o"),
        ("photos",),
    ],
)
def test_unsuitable_options_are_refused(arguments: tuple[str, ...]) -> None:
    assert command(*arguments).exit_code == 2
