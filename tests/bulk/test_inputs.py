"""Which images `facet bulk` processes: files, folders, patterns, and objects."""

from pathlib import Path

import fsspec
import pytest

from app.bulk.errors import BadInput
from app.bulk.inputs import Image, Inputs, Reader
from app.bulk.stores import open_store
from app.errors import BadParameter, TooManyBytes
from tests.bulk.clusters import photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/1.png", "a/deep/2.png", "b/3.png"):
        photo(tmp_path / name)
    (tmp_path / "a/notes.txt").write_text("no image")
    return tmp_path


@pytest.fixture
def bucket() -> str:
    """A folder of fsspec's file system in memory."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in ("a/1.png", "a/deep/2.png", "b/3.PNG", "b/._3.png", "b/notes.txt"):
        memory.pipe_file(f"/photos/{name}", name.encode())
    return "memory://photos"


def test_a_folder(folder: Path) -> None:
    inputs = Inputs([str(folder)])
    assert [image.relative for image in inputs.images] == ["a/1.png", "a/deep/2.png", "b/3.png"]
    assert [image.file for image in inputs.images] == [str(folder / i.relative) for i in inputs.images]
    assert inputs.left_out.total == 1


def test_paths_are_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "a")
    expected = [Image(str(folder / "a/1.png"), "1.png")]
    assert Inputs(["1.png"]).images == expected
    assert Inputs(["./1.png", str(folder / "a/1.png"), f"file://{folder}/a/1.png"]).images == expected


def test_a_file_has_one_name_though_paths_have_parents(folder: Path) -> None:
    given = ["a/../a/1.png", "a/1.png", "b/../a/1.png", "a/*/../1.png", "a/deep/..", f"/{folder}/a/1.png"]
    inputs = Inputs([f"{folder}/{one}" if one[0] != "/" else one for one in given])
    assert inputs.images == [
        Image(str(folder / "a/1.png"), "1.png"),
        Image(str(folder / "a/deep/2.png"), "deep/2.png"),
    ]
    assert Inputs([f"{folder}/b/../a/**/*.png"]).images == inputs.images


def test_links_keep_their_names_unless_a_parent_follows(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "a/deep")
    (folder / "all").symlink_to(folder)
    assert Inputs([f"{folder}/link"]).images == [Image(str(folder / "link/2.png"), "2.png")]
    assert Inputs([f"{folder}/all/b/../link/2.png"]).images == [
        Image(str(folder / "all/link/2.png"), "2.png")
    ]
    assert Inputs([f"{folder}/link/../1.png"]).images == [Image(str(folder / "a/1.png"), "1.png")]
    with pytest.raises(BadInput, match="There is no file or folder"):
        Inputs([f"{folder}/missing/../a/1.png"])


def test_a_pattern(folder: Path) -> None:
    assert [i.relative for i in Inputs([f"{folder}/*/*.png"]).images] == ["a/1.png", "b/3.png"]
    assert [i.relative for i in Inputs([f"{folder}/a/**/*.png"]).images] == ["1.png", "deep/2.png"]


def test_a_file_whose_name_has_signs_of_patterns(tmp_path: Path) -> None:
    path = photo(tmp_path / "[1]*.png")
    assert Inputs([str(path)]).images == [Image(str(path), "[1]*.png")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing", "There is no file or folder /.*/missing"),
        ("missing/*.jpg", "No file matches the pattern"),
        ("", "is empty"),
        ("-", "does not read standard input"),
        ("memory://photos/c", "There is no object memory://photos/c, and none below it"),
        ("memory://photos/*.jpg", "There is no object"),
        ("nothing://photos", "The URI nothing://.* cannot be opened: "),
    ],
)
def test_what_names_nothing(given: str, message: str, bucket: str) -> None:
    with pytest.raises(BadInput, match=message):
        Inputs([given])


def test_a_folder_of_objects(bucket: str) -> None:
    inputs = Inputs([bucket])
    assert inputs.images == [
        Image("memory://photos/a/1.png", "a/1.png"),
        Image("memory://photos/a/deep/2.png", "a/deep/2.png"),
        Image("memory://photos/b/3.PNG", "b/3.PNG"),
    ]
    assert inputs.left_out.total == 2


def test_objects_of_a_pattern(bucket: str) -> None:
    assert [i.relative for i in Inputs(["memory://photos/*/*.png"]).images] == ["a/1.png", "b/._3.png"]
    assert [i.relative for i in Inputs(["memory://photos/a/**/*.png"]).images] == ["1.png", "deep/2.png"]
    assert Inputs(["memory://photos/a/1.png"]).images == [Image("memory://photos/a/1.png", "1.png")]


def test_reading_objects(bucket: str) -> None:
    reader = Reader(12)
    assert reader.read("memory://photos/a/1.png") == b"a/1.png"
    assert reader.read("memory://photos/a/deep/2.png") == b"a/deep/2.png"
    with pytest.raises(TooManyBytes, match="exceeds the limit of 6 bytes"):
        Reader(6).read("memory://photos/a/1.png")
    with pytest.raises(BadParameter, match=r"The file memory://photos/c\.png cannot be read: "):
        reader.read("memory://photos/c.png")


def test_a_store_of_objects(bucket: str) -> None:
    store = open_store("memory://results")
    assert store.files("") == {}
    with pytest.raises(FileNotFoundError):
        store.open("part")
    store.put("part", b"1")
    store.put("part", b"22")
    store.put("_facet/plan", b"333")
    assert store.files("") == {"part": 2}
    assert store.files("_facet") == {"plan": 3}
    with store.open("part") as file:
        assert file.read() == b"22"
    with store.locked():
        pass
