"""Readers of datasets with landmarks, and their split, on synthetic folders."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from app.vision.points import fifteen_of_ibug68
from tests.training.kaggle_files import FOUR, pictures, write_training
from training.data.datasets.landmark_sets import (
    Sample,
    read_300w,
    read_kaggle15,
    read_pts,
    read_pts_files,
    with_validation,
)


def write_face(folder: Path, stem: str, suffix: str = ".jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{stem}{suffix}"), np.full((40, 60, 3), (0, 0, 255), np.uint8))
    lines = "\n".join(f"{i}.5 {i + 1}.25" for i in range(68))
    (folder / f"{stem}.pts").write_text(f"version: 1\nn_points:  68\n{{\n{lines}\n}}\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for i in range(30):
        write_face(tmp_path / "300w/afw", f"{i}_1")
        write_face(tmp_path / "300w/afw", f"{i}_2")
        write_face(tmp_path / "300w/helen/trainset", f"{i}_1")
        write_face(tmp_path / "300w/lfpw/trainset", f"image_{i:04}", ".png")
        write_face(tmp_path / "300w/lfpw/testset", f"image_{i:04}", ".png")
    return tmp_path


def test_points_are_read_as_written(tmp_path: Path) -> None:
    write_face(tmp_path, "a")
    points = read_pts(tmp_path / "a.pts")
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[3], [3.5, 4.25])


@pytest.mark.parametrize("text", ["", "version: 1\nn_points: 2\n{\n1 2\n}\n", "n_points: 1\n{\n1 2\n}\n"])
def test_a_malformed_file_raises_an_error_with_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.pts").write_text(text)
    with pytest.raises(ValueError, match=r"a\.pts"):
        read_pts(tmp_path / "a.pts")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_pts_files_from_other_systems_are_read(tmp_path: Path, encoding: str, end: str) -> None:
    text = "\nVersion: 1\n\nn_points: 2\n{\n1 2\n\n3 4.5\n}\n\n"
    (tmp_path / "a.pts").write_bytes(text.replace("\n", end).encode(encoding))
    np.testing.assert_array_equal(read_pts(tmp_path / "a.pts"), [[1, 2], [3, 4.5]])


def test_a_point_with_one_coordinate_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.pts").write_text("version: 1\nn_points: 2\n{\n1 2\n3\n}\n")
    with pytest.raises(ValueError, match=r"a\.pts, line 5: x and y of a point are expected, not 1 numbers"):
        read_pts(tmp_path / "a.pts")


@pytest.mark.parametrize("number", ["x", "nan", "1,5"])
def test_a_coordinate_that_is_no_number_is_named_with_its_line(tmp_path: Path, number: str) -> None:
    (tmp_path / "a.pts").write_text(f"version: 1\nn_points: 2\n{{\n1 2\n3 {number}\n}}\n")
    with pytest.raises(ValueError, match=rf"a\.pts, line 5: .*'{number}' is not a number"):
        read_pts(tmp_path / "a.pts")


def test_a_face_of_300w_needs_68_points(tmp_path: Path) -> None:
    write_face(tmp_path / "300w/afw", "1_1")
    (tmp_path / "300w/afw/1_1.pts").write_text("version: 1\nn_points: 1\n{\n1 2\n}\n")
    with pytest.raises(ValueError, match=r"1_1\.pts: A face has 68 points in the order of 300-W, not 1\."):
        list(read_300w(tmp_path))


def test_suffixes_in_upper_case_are_read_and_attributes_of_macos_are_not(tmp_path: Path) -> None:
    write_face(tmp_path / "300w/afw", "1_1")
    folder = tmp_path / "300w/afw"
    (folder / "1_1.pts").rename(folder / "1_1.PTS")
    (folder / "1_1.jpg").rename(folder / "1_1.JPG")
    (folder / "._1_1.PTS").write_bytes(b"\0\5\x16\7")
    assert [sample.name for sample in read_300w(tmp_path)] == ["afw/1_1"]


def test_a_missing_image_raises_an_error_with_the_name(tmp_path: Path) -> None:
    write_face(tmp_path / "300w/afw", "1_1")
    (tmp_path / "300w/afw/1_1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1_1\.pts"):
        list(read_300w(tmp_path))


def test_pts_files_of_any_folder_are_read(tmp_path: Path) -> None:
    for name in ("b_1", "b_2", "sub/a", "test/c"):
        write_face((tmp_path / name).parent, Path(name).name)
    samples = {sample.name: sample for sample in read_pts_files(tmp_path)}
    assert {name: (sample.photo, sample.split) for name, sample in samples.items()} == {
        "b_1": ("b", "train"),
        "b_2": ("b", "train"),
        "sub/a": ("sub/a", "train"),
        "test/c": ("test/c", "test"),
    }
    assert samples["sub/a"].scheme == "ibug68"
    assert samples["sub/a"].pixels().shape[2] == 3


def test_only_numbers_of_faces_join_pts_files_to_a_photo(tmp_path: Path) -> None:
    for name in ("a_1", "a_12", "image_0001", "image_0002", "shot_101", "shot_102"):
        write_face(tmp_path, name)
    photos = {sample.name: sample.photo for sample in read_pts_files(tmp_path)}
    assert photos == {name: name for name in photos} | {"a_1": "a", "a_12": "a"}


def test_images_are_rgb(data: Path) -> None:
    sample = next(read_300w(data))
    image = sample.pixels()
    assert image.shape == (40, 60, 3)
    assert image[0, 0, 0] > 250
    assert image[0, 0, 2] < 5


def test_only_lfpw_testset_is_the_test_split(data: Path) -> None:
    samples = with_validation(read_300w(data), 0.3, seed=0)
    tests = {s.name for s in samples if s.split == "test"}
    assert tests == {s.name for s in samples if s.name.startswith("lfpw/testset")}
    assert len(samples) == 150


def test_all_faces_of_a_photo_are_in_one_split(data: Path) -> None:
    samples = with_validation(read_300w(data), 0.3, seed=0)
    photos = [{s.photo for s in samples if s.split == split} for split in ("train", "validation")]
    assert min(map(len, photos)) > 5
    assert not photos[0] & photos[1]
    afw = {s.photo for s in samples if s.name.startswith("afw")}
    assert afw == {s.photo for s in samples if s.name.startswith("helen")}


def test_the_split_depends_on_photo_and_seed_alone(data: Path) -> None:
    split = {s.name: s.split for s in with_validation(read_300w(data), 0.3, seed=0)}
    few = with_validation((s for s in read_300w(data) if "trainset" in s.name), 0.3, seed=0)
    assert all(split[s.name] == s.split for s in few)
    other = {s.name: s.split for s in with_validation(read_300w(data), 0.3, seed=1)}
    assert other != split


def portrait(i: int, photo: str) -> Sample:
    blank = np.zeros((96, 96, 3), np.uint8)
    return Sample(str(i), photo, blank, np.zeros((15, 2), np.float32), "kaggle15", "train", portrait=True)


def test_a_number_of_faces_is_met_with_whole_photos() -> None:
    samples = [portrait(i, f"p{i // 3}" if i < 60 else f"q{i}") for i in range(90)]
    for seed in range(5):
        split = with_validation(samples, 10, seed)
        chosen = {s.photo for s in split if s.split == "validation"}
        assert sum(s.split == "validation" for s in split) == 10
        assert not chosen & {s.photo for s in split if s.split == "train"}
    assert [s.split for s in with_validation(samples, 10, 0)] != [s.split for s in split]


def test_a_share_takes_at_least_one_photo_and_leaves_others() -> None:
    split = with_validation([portrait(i, f"p{i}") for i in range(3)], 1e-9, 0)
    assert [s.split for s in split].count("validation") == 1
    with pytest.raises(ValueError, match=r"--validation 0\.5 takes 1 of 1 training faces"):
        with_validation([portrait(0, "p")], 0.5, 0)


def write_68(folder: Path, stem: str, face: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{stem}.jpg"), np.zeros((40, 60, 3), np.uint8))
    lines = "\n".join(f"{x} {y}" for x, y in face)
    (folder / f"{stem}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")


@pytest.mark.parametrize("packed", [False, True])
def test_kaggles_rows_get_the_photos_of_equal_faces(tmp_path: Path, packed: bool) -> None:
    rng = np.random.default_rng(0)
    faces = rng.uniform(0, 200, (3, 68, 2)).astype(np.float32)
    for i, face in enumerate(faces):
        write_68(tmp_path / "300w/afw", f"12_{i}" if i < 2 else "7_1", face)
    rows = np.concatenate(
        [fifteen_of_ibug68(faces) * np.float32(0.4) + 3, rng.uniform(0, 95, (1, 15, 2)).astype(np.float32)]
    )
    rows[1, [i for i in range(15) if i not in FOUR]] = np.nan
    rows[2, 4:] = np.nan
    rows[2, 3] = np.nan
    images = pictures(4)
    write_training(tmp_path / "kaggle15", images, rows, packed)
    samples = list(read_kaggle15(tmp_path))
    assert [s.photo for s in samples] == ["flickr/12", "flickr/12", "kaggle15/3", "kaggle15/4"]
    assert {(s.scheme, s.split, s.portrait) for s in samples} == {("kaggle15", "train", True)}
    np.testing.assert_allclose(samples[1].points, rows[1], atol=1e-4)
    np.testing.assert_array_equal(samples[3].pixels()[:, :, 2], images[3])


def test_without_300w_each_row_has_its_own_photo(tmp_path: Path) -> None:
    write_training(tmp_path / "kaggle15", pictures(2), np.full((2, 15, 2), 50.0))
    assert [s.photo for s in read_kaggle15(tmp_path)] == ["kaggle15/1", "kaggle15/2"]
