"""The `.pts` reader and the split, on synthetic folders."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data.sources import read_300w, read_pts, with_validation


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


def test_points_are_read_as_they_stand(tmp_path: Path) -> None:
    write_face(tmp_path, "a")
    found = read_pts(tmp_path / "a.pts")
    assert found.shape == (68, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[3], [3.5, 4.25])


@pytest.mark.parametrize("text", ["", "version: 1\nn_points: 2\n{\n1 2\n}\n", "n_points: 1\n{\n1 2\n}\n"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.pts").write_text(text)
    with pytest.raises(ValueError, match=r"a\.pts"):
        read_pts(tmp_path / "a.pts")


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    write_face(tmp_path / "300w/afw", "1_1")
    (tmp_path / "300w/afw/1_1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1_1\.pts"):
        list(read_300w(tmp_path))


def test_pictures_are_rgb(data: Path) -> None:
    sample = next(read_300w(data))
    image = sample.pixels()
    assert image.shape == (40, 60, 3)
    assert image[0, 0, 0] > 250
    assert image[0, 0, 2] < 5


def test_only_lfpw_testset_is_for_testing(data: Path) -> None:
    samples = with_validation(read_300w(data), 0.3, seed=0)
    tests = {s.name for s in samples if s.split == "test"}
    assert tests == {s.name for s in samples if s.name.startswith("lfpw/testset")}
    assert len(samples) == 150


def test_faces_of_one_photograph_stay_together(data: Path) -> None:
    samples = with_validation(read_300w(data), 0.3, seed=0)
    photos = [{s.photo for s in samples if s.split == split} for split in ("train", "validation")]
    assert min(map(len, photos)) > 5
    assert not photos[0] & photos[1]
    afw = {s.photo for s in samples if s.name.startswith("afw")}
    assert afw == {s.photo for s in samples if s.name.startswith("helen")}


def test_the_split_is_of_the_photograph_alone(data: Path) -> None:
    split = {s.name: s.split for s in with_validation(read_300w(data), 0.3, seed=0)}
    few = with_validation((s for s in read_300w(data) if "trainset" in s.name), 0.3, seed=0)
    assert all(split[s.name] == s.split for s in few)
    other = {s.name: s.split for s in with_validation(read_300w(data), 0.3, seed=1)}
    assert other != split
