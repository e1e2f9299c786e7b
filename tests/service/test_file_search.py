import os
from pathlib import Path

import pytest

from app.errors import BadParameter
from app.service.drawings import mark
from app.service.file_search import FileSearch
from app.vision.file_types import SUFFIXES
from app.vision.image import READABLE
from tests.api.pictures import picture
from tests.service.file_trees import APPLE_DOUBLE, HEIC, INVALID_NAME, TIFF, tree, without_permission

FORMATS = ("JPEG", "PNG", "WebP", "BMP", "GIF")


def search(*paths: object, draw: Path | None = None, readable: tuple[str, ...] = FORMATS) -> FileSearch:
    found = FileSearch(draw, readable)
    for path in paths:
        found.add(str(path))
    return found


def names(found: FileSearch) -> list[str]:
    return [file.relative for file in found.found]


def left_out(found: FileSearch) -> list[str]:
    """The lines of the files left out, without their paths."""
    return [line.partition(": /")[0] for line in found.left_out.lines("left out:")]


def test_folders_are_searched_and_files_taken_as_they_are(tmp_path: Path) -> None:
    folder = tree(tmp_path / "in", {"deep/c_webp": b"text"})
    (folder / "deep" / "d.WEBP").write_bytes(picture(format="WEBP"))
    notes = folder / "deep" / "c_webp"
    assert [(file.path, file.relative) for file in search(folder, notes).found] == [
        (f"{folder}/a.jpg", "a.jpg"),
        (f"{folder}/b.png", "b.png"),
        (f"{folder}/deep/d.WEBP", "deep/d.WEBP"),
        (str(notes), "c_webp"),
    ]


def test_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    for name in ("b/x.jpg", "b.jpg", "a.jpg", "B.jpg", "b/a/z.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture())
    assert names(search(tmp_path)) == ["B.jpg", "a.jpg", "b/a/z.jpg", "b/x.jpg", "b.jpg"]


def test_the_suffix_or_the_content_makes_a_file_of_a_folder_an_image(tmp_path: Path) -> None:
    extra = {
        "none": picture(),
        "c.heic": picture(),
        "d.txt": picture(format="GIF"),
        "e.jpg": b"text",
        "f.gif": b"",
    }
    found = search(tree(tmp_path, extra))
    assert names(found) == ["a.jpg", "b.png", "c.heic", "d.txt", "e.jpg", "f.gif", "none"]
    assert left_out(found) == []


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    extra = {
        "IMG_1.HEIC": HEIC,
        "IMG_2.heic": b"?",
        "c.tif": TIFF,
        "d.csv": b"x,y",
        "e": b"",
        "f.pdf": b"%PDF-1.7",
    }
    found = search(tree(tmp_path, extra))
    assert names(found) == ["a.jpg", "b.png"]
    assert left_out(found) == [
        "2 left out: HEIC, which needs the optional package pi-heif",
        "1 left out: TIFF, which is not supported",
        "2 left out: not an image",
        "1 left out: a PDF document, which is not supported",
    ]
    (line, *_) = found.left_out.lines("left out:")
    assert line.endswith(f": {tmp_path}/IMG_1.HEIC, {tmp_path}/IMG_2.heic.")


def test_formats_that_become_readable_are_found(tmp_path: Path) -> None:
    tree(tmp_path, {"IMG_1.HEIC": HEIC, "IMG_2.heic": b"?", "noext": HEIC})
    found = search(tmp_path, readable=(*FORMATS, "HEIC"))
    assert names(found) == ["IMG_1.HEIC", "IMG_2.heic", "a.jpg", "b.png", "noext"]
    assert left_out(found) == []
    assert set(SUFFIXES) >= set(READABLE)


def test_metadata_of_macos_is_left_out(tmp_path: Path) -> None:
    found = search(tree(tmp_path, {"._a.jpg": APPLE_DOUBLE, "__MACOSX/._b.png": APPLE_DOUBLE}))
    assert names(found) == ["a.jpg", "b.png"]
    assert left_out(found) == ['2 left out: metadata of macOS (the name begins with "._")']
    assert names(search(tmp_path / "._a.jpg")) == ["._a.jpg"]


def test_a_locked_folder_is_named(tmp_path: Path) -> None:
    folder = tree(tmp_path / "in", {"locked/c.jpg": picture()})
    with without_permission(folder / "locked", 0):
        found = search(folder)
        given = search(folder / "locked")
    assert names(found) == ["a.jpg", "b.png", "locked"]
    for error in (found.found[-1].error, given.found[0].error):
        assert isinstance(error, BadParameter)
        assert error.detail == f"The folder {folder}/locked cannot be searched: Permission denied."


def test_files_of_a_folder_that_may_not_be_entered(tmp_path: Path) -> None:
    folder = tree(tmp_path / "in", {"no/c.jpg": picture(), "no/d.txt": b"text"})
    with without_permission(folder / "no", 0o644):
        found = search(folder)
    assert names(found) == ["a.jpg", "b.png", "no/c.jpg"]
    assert left_out(found) == ["1 left out: cannot be opened, and has no image suffix (Permission denied)"]


@pytest.mark.timeout(20)
def test_special_files_and_links(tmp_path: Path) -> None:
    """A file whose name promises an image is taken, so that processing it reports why it cannot be read."""
    folder = tree(tmp_path / "in", {"d.jpg/c.jpg": picture()})
    other = tree(tmp_path / "other")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "link.txt").symlink_to(other / "a.jpg")
    (folder / "broken.jpg").symlink_to("gone")
    (folder / "broken").symlink_to("gone")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "up").symlink_to("..")
    (folder / "up.jpg").symlink_to(other)
    found = search(folder)
    expected = ["a.jpg", "b.png", "broken.jpg", "d.jpg/c.jpg", "link.txt", "loop.jpg", "pipe.jpg"]
    assert names(found) == expected
    assert [line.partition(" (")[0] for line in left_out(found)] == [
        "1 left out: cannot be opened, and has no image suffix",
        "1 left out: cannot be opened, and has no image suffix",
        "2 left out: a link to a folder, which is not followed",
    ]
    assert names(search(folder / "up.jpg")) == ["a.jpg", "b.png"]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    found = search(
        tree(tmp_path, {INVALID_NAME: picture(), "\n.jpg": picture(), "x" * 251 + ".jpg": picture()})
    )
    assert len(found.found) == 5
    assert f"{tmp_path}/{INVALID_NAME}" in [file.path for file in found.found]


def test_a_deep_folder(tmp_path: Path) -> None:
    """A folder whose path is longer than the system allows cannot be searched; the others are."""
    here = os.open(tree(tmp_path), os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=here)
        here, parent = os.open("d" * 200, os.O_RDONLY, dir_fd=here), here
        os.close(parent)
    os.close(here)
    found = search(tmp_path)
    assert names(found)[:2] == ["a.jpg", "b.png"]
    assert len(found.found) == 3
    assert "File name too long" in str(found.found[2].error)


def test_given_names_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tree(tmp_path, {"-": picture()}))
    assert [file.path for file in search("./a.jpg", "", "./-", "-", "x" * 300).found] == [
        "a.jpg", "", "./-", "-", "x" * 300,
    ]  # fmt: skip
    assert [file.path for file in search(".").found] == ["./-", "a.jpg", "b.png"]
    assert search(".").folders == 1


@pytest.mark.parametrize("spelling", ["in/drawn", "in/../in/./drawn", "link", "in/deep/drawn"])
def test_the_folder_of_drawn_images_is_not_searched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tree(tmp_path / "in", {"drawn/c.jpg": picture(), "deep/drawn/d.jpg": picture()})
    (tmp_path / "link").symlink_to("in/drawn")
    found = search("in", draw=Path(spelling))
    assert len(found.found) == 3
    assert left_out(found) == [
        f"1 left out: the folder of drawn images: in/{'deep/' * ('deep' in spelling)}drawn."
    ]


def test_drawn_images_are_not_searched(tmp_path: Path) -> None:
    drawn = {"c.jpg": mark(picture()), "deep/d.png": mark(picture(format="PNG"))}
    found = search(tree(tmp_path, drawn))
    assert names(found) == ["a.jpg", "b.png"]
    assert left_out(found) == ["2 left out: drawn by Facet"]
    given = [tmp_path / name for name in drawn]
    assert names(search(*given)) == ["c.jpg", "d.png"]
    assert names(search(tmp_path / "a.jpg", *given, draw=tmp_path)) == ["a.jpg"]
