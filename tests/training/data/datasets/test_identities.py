"""Readers of people, exact copies, and people held out."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data.datasets import identities


def write(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 8, 3), value, np.uint8))
    return path


def test_folders_of_people_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.png", "a/x.jpg"):
        write(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "list.txt").write_text("no person")
    images = list(identities.read_folders(tmp_path))
    assert [(i.person, i.address) for i in images] == [("a", "a/x.jpg"), ("b", "b/1.png"), ("b", "b/2.png")]


def test_what_is_left_out_of_folders_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a/1.png", "a/.hidden/2.png", "a/old/2.png", "b/1.png"):
        write(tmp_path / name)
    (tmp_path / "b" / "scan.tiff").touch()
    assert len(list(identities.read_folders(tmp_path))) == 2
    nested, other = caplog.messages
    assert "1 folders in the folders of people are not read, such as a/old." in nested
    assert "1 files are not read, such as scan.tiff. Types: .jpg" in other


def test_an_empty_folder_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no folders of people"):
        list(identities.read_folders(tmp_path))


@pytest.mark.parametrize("folder", ["img_celeba", "img_align_celeba", "."])
def test_celeba_is_read_by_its_identity_file(tmp_path: Path, folder: str) -> None:
    for name in ("000001.png", "000002.png", "000003.png"):
        write(tmp_path / folder / name)
    (tmp_path / "identity_CelebA.txt").write_text("000001.png 70\n000002.png 8\n000003.png 70\n")
    images = list(identities.read_celeba(tmp_path))
    assert [(i.person, i.path.name) for i in images] == [
        ("00008", "000002.png"),
        ("00070", "000001.png"),
        ("00070", "000003.png"),
    ]
    assert all(i.path.exists() for i in images)


def test_a_malformed_identity_file_raises_an_error_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "identity_CelebA.txt").write_text("000001.jpg 1\n000002.jpg someone\n")
    with pytest.raises(ValueError, match="line 2"):
        list(identities.read_celeba(tmp_path))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_an_identity_file_from_another_system_is_read(tmp_path: Path, encoding: str, end: str) -> None:
    for name in ("000001.png", "000002.png"):
        write(tmp_path / name)
    text = "\n000001.png 70\n\n000002.png 8\n\n"
    (tmp_path / "identity_CelebA.txt").write_bytes(text.replace("\n", end).encode(encoding))
    assert [i.person for i in identities.read_celeba(tmp_path)] == ["00008", "00070"]


@pytest.mark.parametrize(("text", "message"), [("", "The file is empty"), ("\n", "The file has no lines")])
def test_an_empty_identity_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "identity_CelebA.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"identity_CelebA\.txt: {message}"):
        list(identities.read_celeba(tmp_path))


def test_an_identity_file_without_images_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "identity_CelebA.txt").write_text("000001.jpg 1\n")
    with pytest.raises(FileNotFoundError, match="not its images"):
        list(identities.read_celeba(tmp_path))


def test_lfw_leaves_out_the_people_of_its_pairs_files(tmp_path: Path) -> None:
    for name in ("Ann", "Bob", "Cy", "Di"):
        write(tmp_path / name / f"{name}_0001.jpg")
    (tmp_path / "pairsDevTest.txt").write_text("1\nAnn 1 2\nAnn 1 Bob 3\n")
    (tmp_path / "pairs.txt").write_text("1 1\nAnn 1 2\nCy 1 Ann 3\n")
    assert [i.person for i in identities.read_lfw(tmp_path)] == ["Di"]


def test_people_of_several_sources_are_different(tmp_path: Path) -> None:
    write(tmp_path / "one" / "a" / "x.png")
    write(tmp_path / "two" / "a" / "x.png")
    images = identities.read_people([f"folders:{tmp_path / 'one'}", f"folders:{tmp_path / 'two'}"])
    assert [i.person for i in images] == ["one/a", "two/a"]
    assert [i.address for i in images] == ["one/a/x.png", "two/a/x.png"]


@pytest.mark.parametrize("source", ["folders", "zip:x", "folders:"])
def test_an_unknown_source_raises_an_error_with_the_known_ones(source: str) -> None:
    with pytest.raises(ValueError, match="folders:FOLDER or celeba:FOLDER or lfw:FOLDER"):
        identities.read_people([source])


def test_no_copy_across_people_and_one_copy_within_a_person_is_kept() -> None:
    people = ["a", "a", "b", "b", "c", "a"]
    copies = identities.find_copies(people, [b"1", b"2", b"2", b"3", b"4", b"1"])
    assert copies == ([0, 3, 4], [1, 2], [5])


def test_an_additional_person_replaces_at_most_one_held_out_person() -> None:
    names = [f"p{i}" for i in range(50)] * 2
    held_out = identities.held_out(names, 10, 0)
    assert len(held_out) == 10
    assert held_out == identities.held_out(reversed(names), 10, 0)
    assert held_out != identities.held_out(names, 10, 1)
    replaced = [len(held_out - identities.held_out([*names, *[f"new{i}"] * 2], 10, 0)) for i in range(50)]
    assert set(replaced) == {0, 1}


def test_a_share_of_the_people_is_held_out_and_at_least_two() -> None:
    names = [f"p{i}" for i in range(50)] * 2
    assert identities.held_out(names, 0.2, 0) == identities.held_out(names, 10, 0)
    assert len(identities.held_out(names, 0.001, 0)) == 2


def test_people_with_one_image_are_not_held_out() -> None:
    names = [f"p{i}" for i in range(9)]
    assert identities.held_out([*names, "p7", "p8"], 2, 0) == {"p7", "p8"}
