"""The commands of the gallery, over fake nets: a face is as similar to another as the colours of both."""

import json
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil
from typer.testing import CliRunner, Result

from app.cli import cli, common
from app.errors import BadParameter
from app.gallery.sqlite_store import SqliteStore
from app.pipeline.analyzer import Analyzer
from app.service.drawings import is_drawing
from app.settings import Settings
from tests.fakes import fake_analyzer

Colour = tuple[int, int, int]

RED, GREEN, BLUE = (220, 40, 40), (40, 220, 40), (40, 40, 220)
RED_AGAIN = (220, 96, 30)  # as similar to RED as two images of a person
NEARLY_RED = (221, 41, 40)
DARK = (0, 0, 0)
UNKNOWN = "0" * 32


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(text) for text in result.stdout.splitlines()]


def messages(result: Result) -> list[str]:
    """The messages on standard error, without the progress bar."""
    return re.findall(r"^facet: (.*)$", result.stderr, re.MULTILINE)


def photo(path: Path, left: Colour, right: Colour = DARK) -> Path:
    """Write a picture with two faces of these colours; the left one is larger. A dark one has no face."""
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[:, :100], pixels[:, 100:] = left, right
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(pixels).save(path, format="PNG")
    return path


class Nets:
    """Counts the images that the fake nets have seen."""

    def __init__(self) -> None:
        self.images = 0

    def load(self, settings: Settings, **needs: Any) -> Analyzer:
        return fake_analyzer(self.see)

    def see(self) -> None:
        self.images += 1


@pytest.fixture(autouse=True)
def nets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Nets:
    """The fake nets, and a gallery in a new folder."""
    nets = Nets()
    monkeypatch.setattr(common, "load_analyzer", nets.load)
    monkeypatch.setenv("FACE_GALLERY", str(tmp_path / "gallery/gallery.db"))
    return nets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three images of two people."""
    photo(tmp_path / "people/Ann Smith/1.png", RED)
    photo(tmp_path / "people/Ann Smith/holidays/2.png", RED_AGAIN)
    photo(tmp_path / "people/Bob/1.png", GREEN)
    return tmp_path / "people"


def enrol(folder: Path, *options: str | Path) -> Result:
    return run("enrol", folder, "--collection", "family", *options)


def people(collection: str = "family") -> dict[str, int]:
    """The number of faces of each person."""
    found = lines(run("collections", "people", collection))
    assert len({person["name"] for person in found}) == len(found)
    return {person["name"]: person["faces"] for person in found}


def test_a_folder_is_enrolled(folder: Path) -> None:
    result = enrol(folder)
    assert result.exit_code == 0, result.stderr
    found = lines(result)
    assert [(Path(one["file"]).relative_to(folder).as_posix(), one["person"]["name"]) for one in found] == [
        ("Ann Smith/1.png", "Ann Smith"),
        ("Ann Smith/holidays/2.png", "Ann Smith"),
        ("Bob/1.png", "Bob"),
    ]
    assert all(list(one) == ["file", "person", "face"] for one in found)
    assert found[0]["person"] == found[1]["person"]
    assert len({one["face"] for one in found}) == 3
    assert people() == {"Ann Smith": 2, "Bob": 1}
    added, read = messages(result)
    assert re.fullmatch(
        r"2 people and 3 faces added, 0 duplicates not stored, 0 enrolled before; \d+\.\d images per second.",
        added,
    )
    assert read == "3 images read, 0 failed, 0 left out."


def test_a_second_run_adds_what_is_new_without_running_the_nets_again(folder: Path, nets: Nets) -> None:
    first = {one["file"]: one["face"] for one in lines(enrol(folder))}
    assert nets.images == 3
    photo(folder / "Bob/2.png", BLUE)
    photo(folder / "Cid/1.png", (200, 200, 40))
    result = enrol(folder)
    assert result.exit_code == 0
    assert nets.images == 5
    assert people() == {"Ann Smith": 2, "Bob": 2, "Cid": 1}
    again = {one["file"]: one.get("duplicate_of") for one in lines(result)}
    assert {file: face for file, face in again.items() if face} == first
    assert messages(result)[0].startswith("1 person and 2 faces added, 0 duplicates not stored, 3 enrolled b")


def test_images_that_fail_do_not_stop_the_others_and_are_tried_again(folder: Path, nets: Nets) -> None:
    photo(folder / "Bob/0 dark.png", DARK)
    (folder / "Bob/00.jpg").write_bytes(b"\xff\xd8\xff but no picture")
    photo(folder / "Nobody/1.png", DARK)
    photo(folder / "stray.png", BLUE)
    (folder / "Bob/notes.txt").write_text("text")
    for _ in range(2):
        nets.images = 0
        result = enrol(folder)
        assert result.exit_code == 1
        failed = {one["file"]: one["problem"]["type"] for one in lines(result) if "problem" in one}
        assert failed == {
            str(folder / "Bob/0 dark.png"): "/problems/no-face",
            str(folder / "Bob/00.jpg"): "/problems/truncated-image",
            str(folder / "Nobody/1.png"): "/problems/no-face",
        }
    assert nets.images == 2  # only the dark ones
    assert people() == {"Ann Smith": 2, "Bob": 1}
    assert lines(result)[-1]["person"] == {"id": None, "name": "Nobody", "external_id": None}
    assert messages(result)[1:] == [
        "3 images read, 3 failed, 2 left out.",
        f"2 failed: no-face (image): {folder}/Bob/0 dark.png, {folder}/Nobody/1.png.",
        f"1 failed: truncated-image (image): {folder}/Bob/00.jpg.",
        f"1 left out: not an image: {folder}/Bob/notes.txt.",
        f"1 left out: not in the folder of a person: {folder}/stray.png.",
    ]


def test_copies_of_an_image_are_not_stored(folder: Path) -> None:
    shutil.copy(folder / "Ann Smith/1.png", folder / "Ann Smith/1 copy.png")
    photo(folder / "Ann Smith/1 nearly.png", NEARLY_RED)
    result = enrol(folder)
    assert result.exit_code == 0
    copy, nearly, first = lines(result)[:3]
    assert nearly["duplicate_of"] == first["duplicate_of"] == copy["face"]
    assert "face" not in nearly
    assert people()["Ann Smith"] == 2
    assert ", 2 duplicates not stored, 0 enrolled before" in messages(result)[0]


def test_an_image_that_is_also_like_another_person(folder: Path) -> None:
    photo(folder / "Zoe/1.png", NEARLY_RED)
    photo(folder / "Zoe/2.png", RED)
    result = enrol(folder)
    assert result.exit_code == 0
    ann, *_, zoe, copy = lines(result)
    assert copy["duplicate_of"] == zoe["face"]
    assert zoe["also_like"]["name"] == "Ann Smith"
    assert zoe["also_like"]["id"] == ann["person"]["id"]
    assert zoe["also_like"]["similarity"] > 0.99
    assert ["also_like" in one for one in lines(result)] == [False, False, False, True, False]
    assert messages(result)[-1] == (
        "1 image of Zoe also like Ann Smith, similarity up to 1.00: one human under two names, or an image "
        "in the wrong place?"
    )


def test_a_gallery_that_is_too_large_for_the_rate_is_filled_nevertheless(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def refuse(*_: object) -> float:
        raise BadParameter("The gallery is too large.", "fpir")

    monkeypatch.setattr("app.service.gallery_operations.threshold_for_fpir", refuse)
    photo(folder / "Zoe/1.png", NEARLY_RED)
    result = enrol(folder)
    assert result.exit_code == 0
    assert len(people()) == 3
    assert [text for text in messages(result) if "too large" in text] == [
        "It is not reported which faces are also like another person. The gallery is too large."
    ]


@pytest.mark.parametrize(("faces", "succeeds"), [("largest", True), ("one", False)])
def test_which_face_is_enrolled(tmp_path: Path, faces: str, succeeds: bool) -> None:
    photo(tmp_path / "people/Ann/1.png", RED, GREEN)
    result = enrol(tmp_path / "people", "--faces", faces)
    assert result.exit_code == (0 if succeeds else 1)
    assert lines(result)[0].get("problem", {}).get("type") == (
        None if succeeds else "/problems/several-faces"
    )


def test_names_of_all_kinds(tmp_path: Path) -> None:
    """macOS writes the names of folders in the normal form NFD."""
    folder = tmp_path / "people"
    photo(folder / "顔 さん/1.png", RED)
    photo(folder / "Jose\u0301/1.png", GREEN)
    photo(folder / ("x" * 201) / "1.png", BLUE)
    result = enrol(folder)
    assert people() == {"顔 さん": 1, "Jos\u00e9": 1}
    assert [one["problem"]["field"] for one in lines(result) if "problem" in one] == ["name"]
    assert "at most 200 characters" in result.stdout
    photo(folder / "Jos\u00e9/2.png", RED_AGAIN)
    enrol(folder)
    assert people() == {"顔 さん": 1, "Jos\u00e9": 2}


def write_names(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    file = folder.parent / "names.csv"
    file.write_text(text, encoding=encoding, newline="")
    return file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_of_names(folder: Path, encoding: str) -> None:
    names = write_names(
        folder,
        'name,external_id,file\r\n"Smith, Ann",7,Ann Smith/1.png\r\n\r\nBob,,Bob/1.png\r\n'
        '"Smith, Ann",8,Ann Smith/holidays/2.png\r\n',
        encoding,
    )
    result = enrol(folder, "--names", names)
    assert result.exit_code == 0, result.stderr
    found = lines(run("collections", "people", "family"))
    assert [(one["name"], one["external_id"], one["faces"]) for one in found] == [
        ("Smith, Ann", "7", 1),
        ("Bob", None, 1),
        ("Smith, Ann", "8", 1),
    ]
    assert ", 3 enrolled before;" in messages(enrol(folder, "--names", names))[0]


def test_two_people_of_one_name_need_an_external_id(folder: Path) -> None:
    names = write_names(
        folder, "file,name,external_id\nAnn Smith/1.png,Bob,7\nAnn Smith/holidays/2.png,Bob,8\n"
    )
    assert enrol(folder, "--names", names).exit_code == 0
    result = enrol(folder)
    assert result.exit_code == 1
    ann, _, bob = lines(result)
    assert "face" in ann
    assert bob["problem"]["field"] == "name"
    assert "2 people with the name 'Bob'" in bob["problem"]["detail"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "The first line of FILE has no column file and no column name. The columns are file and name"),
        (
            "file;name\nBob/1.png;Bob\n",
            "The columns of FILE are separated by semicolons. Separate them by com",
        ),
        ("file\tname\n", "The columns of FILE are separated by tabs. "),
        (
            "file\nBob/1.png\n",
            "The first line of FILE has no column name. The columns are file and name, and ",
        ),
        ("file,name,id\n", "FILE has an unknown column 'id'. The columns are "),
        ("file,name,name\n", "FILE has the column name twice. "),
        ("file,name\nBob/1.png\n", "FILE, line 2: It has 1 values, but there are 2 columns."),
        ("file,name\nBob/9.png,Bob\n", "FILE, line 2: There is no file 'Bob/9.png' in "),
        ("file,name\n,Bob\n", "FILE, line 2: There is no file '' in "),
        ("file,name\nBob/1.png,\n", "FILE, line 2: It has neither a name nor an external_id."),
        (
            "file,name\nBob/1.png,a\x07b\n",
            "FILE, line 2: The name 'a\\x07b' is not valid. It must not contain con",
        ),
        (
            "file,name\nBob/1.png,Bob\nBob/../Bob/1.png,Cid\n",
            "FILE, line 3: The file 'Bob/../Bob/1.png' is already on line 2.",
        ),
        (
            "file,name,external_id\nBob/1.png,Bob,7\nAnn Smith/1.png,Ann,7\n",
            "FILE, line 3: The external_id '7' has another name on line 2.",
        ),
        (
            "file,name,external_id\nBob/1.png,Bob,7\nAnn Smith/1.png,Bob,\n",
            "FILE, line 3: 'Bob' has an external_id either on this line or on line 2, but not on both. ",
        ),
        ('file,name\n"Bob/1.png,Bob\n', "FILE is not valid CSV: "),
    ],
)
def test_faults_of_a_file_of_names(folder: Path, nets: Nets, text: str, expected: str) -> None:
    names = write_names(folder, text)
    result = enrol(folder, "--names", names)
    assert (result.exit_code, result.stdout, nets.images) == (2, "", 0)
    (message,) = messages(result)
    assert message.startswith(expected.replace("FILE", str(names)))


def test_all_faults_of_a_file_of_names_are_counted(folder: Path) -> None:
    names = write_names(folder, "file,name\n" + "".join(f"{i}.png,Bob\n" for i in range(7)))
    result = enrol(folder, "--names", names)
    assert result.exit_code == 2
    assert len(messages(result)) == 6
    assert messages(result)[-1] == f"{names} has 2 more such lines."
    names = write_names(folder, "file,name\nBob/1.png,J\xf6rg\n", "latin-1")
    assert messages(enrol(folder, "--names", names)) == [
        f"{names} is not UTF-8. Save it as CSV with the encoding UTF-8."
    ]
    (message,) = messages(enrol(folder, "--names", folder.parent / "none.csv"))
    assert message == f"{folder.parent / 'none.csv'} cannot be read: No such file or directory."


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (
            ["enrol"],
            2,
            "Name a folder with a folder of images for each person, as in: facet enrol people -c ",
        ),
        (
            ["enrol", "a" * 300, "-c", "f"],
            2,
            "Name a folder with a folder of images for each person, as in: ",
        ),
        (["enrol", "PEOPLE"], 2, "Name a collection, as in: facet enrol people --collection family"),
        (["enrol", "PEOPLE", "-c", "a/b"], 2, "The name 'a/b' is not a valid name of a collection. "),
        (["enrol", "PEOPLE", "-c", "f", "--faces", "all"], 2, "The value 'all' of faces is invalid. "),
        (
            ["enrol", "PEOPLE", "-c", "f", "--expires", "tomorrow"],
            2,
            "The value 'tomorrow' of expires is invalid. ",
        ),
        (
            ["enrol", "PEOPLE", "-c", "f", "--expires", "2020-01-01T00:00:00Z"],
            2,
            "The time 2020-01-01T00:00:00Z of --expires has passed. Give a later one.",
        ),
        (
            ["enrol", "PEOPLE", "-c", "family", "--model", "other-vectors"],
            1,
            "The collection family exists, and",
        ),
        (["identify"], 2, "Name image files or folders, as in: facet identify photos --collection family"),
        (["identify", "PEOPLE"], 2, "Name a collection, as in: facet identify photos --collection family"),
        (["identify", "PEOPLE", "-c", "none"], 1, "There is no collection 'none'."),
        (["identify", "PEOPLE", "-c", "family", "--top", "0"], 2, "The value 0 of top is invalid. "),
        (
            ["identify", "PEOPLE", "-c", "family", "--fpir", "0.1", "--threshold", "0.5"],
            2,
            "The parameters threshold and fpir exclude each other.",
        ),
        (["identify", "PEOPLE", "-c", "family", "--fpir", "1e-9"], 2, "The parameter fpir is 1e-09; for "),
        (["collections", "show", "none"], 1, "There is no collection 'none'."),
        (["collections", "people", "none"], 1, "There is no collection 'none'."),
        (["collections", "delete", "none", "--yes"], 1, "There is no collection 'none'."),
        (
            ["collections", "delete-person", "family", UNKNOWN],
            1,
            f"The collection 'family' has no person '{UNKNOWN}'.",
        ),
        (["collections", "export", "none", "x.jsonl"], 1, "There is no collection 'none'."),
        (["collections", "purge", "none"], 1, "There is no collection 'none'."),
        (["collections", "import", "none.jsonl"], 1, "The file none.jsonl cannot be read: No such file"),
        (
            ["collections", "export", "family", "none/x.jsonl"],
            1,
            "none/x.jsonl cannot be written: No such file",
        ),
        (
            ["collections", "delete", "family"],
            2,
            "This deletes the collection family with 2 people and 3 faces. ",
        ),
    ],
)
def test_mistakes_are_one_line(folder: Path, arguments: list[str], status: int, expected: str) -> None:
    assert enrol(folder).exit_code == 0
    result = run(*(str(folder) if word == "PEOPLE" else word for word in arguments))
    assert (result.exit_code, result.stdout) == (status, "")
    (message,) = messages(result)
    assert message.startswith(expected)
    assert result.stderr.count("\n") == 1
    assert people() == {"Ann Smith": 2, "Bob": 1}


def test_an_empty_folder_creates_nothing(tmp_path: Path) -> None:
    (tmp_path / "people/Ann").mkdir(parents=True)
    photo(tmp_path / "people/stray.png", RED)
    result = enrol(tmp_path / "people")
    assert (result.exit_code, result.stdout) == (1, "")
    assert messages(result) == [
        f"1 left out: not in the folder of a person: {tmp_path}/people/stray.png.",
        "There are no images to enrol. DIR needs a folder of images for each person.",
    ]
    assert not (tmp_path / "gallery").exists()


COMMANDS = [
    ["collections"],
    ["collections", "show", "family"],
    ["collections", "export", "family", "x.jsonl"],
    ["collections", "backup", "x.db"],
    ["identify", "tests/photos", "-c", "family"],
]


@pytest.mark.parametrize("command", COMMANDS)
def test_only_enrolling_creates_a_gallery(tmp_path: Path, command: list[str]) -> None:
    result = run(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert not (tmp_path / "gallery").exists()
    assert len(messages(result)) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_gallery_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, folder: Path, command: list[str]
) -> None:
    monkeypatch.setenv("FACE_GALLERY", "off")
    for arguments in (command, ["enrol", str(folder), "-c", "family"]):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert messages(result) == [
            "The gallery is switched off. Set FACE_GALLERY to the path of a file to use it."
        ]
    damaged = folder.parent / "damaged.db"
    damaged.write_text("no database " * 100)
    for file in (damaged, folder.parent / ("a" * 300)):
        monkeypatch.setenv("FACE_GALLERY", str(file))
        for arguments in (command, ["enrol", str(folder), "-c", "family"]):
            result = run(*arguments)
            assert (result.exit_code, result.stdout) == (1, "")
            (message,) = messages(result)
            assert message.startswith(f"The gallery {file} cannot be opened. ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every file")
def test_a_gallery_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    enrol(folder)
    (tmp_path / "gallery/gallery.db").chmod(0o400)
    result = enrol(folder)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot be" in messages(result)[0]


def test_a_collection_of_other_models(tmp_path: Path, folder: Path) -> None:
    enrol(folder)
    store = SqliteStore(tmp_path / "gallery/gallery.db")
    for name, model in (("old", "vectors"), ("gone", "arcface")):
        store.create_collection(name, model, f"{model}-0123456789abcdef", 3)
    store.close()
    assert {one["name"]: one["usable"] for one in lines(run("collections"))} == {
        "family": True,
        "gone": False,
        "old": False,
    }
    for command in ("enrol", "identify"):
        result = run(command, folder, "-c", "old")
        assert (result.exit_code, result.stdout) == (1, "")
        (message,) = messages(result)
        assert message.startswith(
            "The vectors of the collection old were made by the model vectors, whose cont"
        )
    assert run("collections", "export", "old", tmp_path / "old.jsonl").exit_code == 0
    result = run("collections", "import", tmp_path / "old.jsonl", "-c", "new")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "The vectors of the export have the contract vectors-0123456789abcdef" in messages(result)[0]
    assert run("collections", "show", "new").exit_code == 1
    assert run("collections", "delete", "old", "--yes").exit_code == 0


def test_people_are_identified(folder: Path, tmp_path: Path) -> None:
    enrolled = lines(enrol(folder))
    photo(tmp_path / "album/both.png", NEARLY_RED, GREEN)
    photo(tmp_path / "album/nobody.png", BLUE)
    photo(tmp_path / "album/none.png", DARK)
    result = run("identify", tmp_path / "album", "-c", "family", "--top", "1", "--draw", tmp_path / "drawn")
    assert result.exit_code == 0, result.stderr
    both, nobody, none = lines(result)
    assert [face["person"]["name"] for face in both["faces"]] == ["Ann Smith", "Bob"]
    assert both["faces"][0]["person"]["id"] == enrolled[0]["person"]["id"]
    assert len(both["faces"][0]["candidates"]) == 1
    assert (both["gallery_faces"], both["fpir"]) == (3, 0.01)
    assert nobody["faces"][0]["person"] is None
    assert none["faces"] == []
    assert all(is_drawing(Path(one["drawn"]).read_bytes()) for one in (both, nobody, none))
    (face, *_) = lines(run("identify", tmp_path / "album/nobody.png", "-c", "family", "--threshold", "-1"))[
        0
    ]["faces"]
    assert face["person"] is not None


def test_a_drawing_of_any_name(tmp_path: Path) -> None:
    photo(tmp_path / "people/顔/1.png", RED)
    photo(tmp_path / "people" / ("J" * 200) / "1.png", GREEN)
    enrol(tmp_path / "people")
    photo(tmp_path / "album/1.png", RED, GREEN)
    result = run("identify", tmp_path / "album", "-c", "family", "--draw", tmp_path / "drawn")
    assert result.exit_code == 0, result.stdout
    assert Path(lines(result)[0]["drawn"]).stat().st_size > 0


def test_a_limit_of_the_gallery_fails_images_and_leaves_no_person_without_a_face(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("FACE_MAX_GALLERY_FACES", "2")
    result = enrol(folder)
    assert result.exit_code == 1
    assert [one.get("problem", {}).get("type") for one in lines(result)] == [
        None,
        None,
        "/problems/gallery-limit",
    ]
    assert people() == {"Ann Smith": 2}


def test_a_collection_that_disappears_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    for i in range(30):
        photo(folder / f"Cid/{i:02}.png", (200, 7 * i, 40))

    def load(settings: Settings, **needs: Any) -> Analyzer:
        seen = [0]

        def delete() -> None:
            seen[0] += 1
            if seen[0] == 4:
                store = SqliteStore(tmp_path / "gallery/gallery.db")
                store.delete_collection("family")
                store.close()

        return fake_analyzer(delete)

    monkeypatch.setattr(common, "load_analyzer", load)
    monkeypatch.setenv("FACE_MAX_CONCURRENT", "1")
    result = enrol(folder)
    assert result.exit_code == 1
    assert lines(result)[-1]["problem"]["type"] == "/problems/unknown-id"
    assert sum("problem" in one for one in lines(result)) == 1
    assert messages(result)[-1].startswith("The run has stopped, because the other images would fail too: ")


def test_the_collections_are_listed(folder: Path) -> None:
    enrol(folder)
    photo(folder.parent / "others/Zoe/1.png", BLUE)
    run("enrol", folder.parent / "others", "-c", "others")
    for command in (["collections"], ["collections", "list"]):
        found = lines(run(*command))
        assert [(one["name"], one["people"], one["faces"]) for one in found] == [
            ("family", 2, 3),
            ("others", 1, 1),
        ]
    assert lines(run("collections", "show", "others")) == [found[1]]
    assert [one["name"] for one in lines(run("collections", "people", "family", "--name", "smi"))] == [
        "Ann Smith"
    ]


def test_people_and_collections_are_deleted(folder: Path) -> None:
    person = lines(enrol(folder))[0]["person"]["id"]
    result = run("collections", "delete-person", "family", person)
    assert (result.exit_code, lines(result)) == (
        0,
        [{"collection": "family", "person": person, "erased": True}],
    )
    assert people() == {"Bob": 1}
    result = run("collections", "delete", "family", "--yes")
    assert (result.exit_code, lines(result)) == (0, [{"collection": "family", "erased": True}])
    assert lines(run("collections")) == []


def test_bytes_that_cannot_be_erased_yet(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    """Another process reads the file."""
    for module in ("app.gallery.gallery", "app.cli.collection_commands"):
        monkeypatch.setattr(f"{module}._ERASE_TIMEOUT_S", 0.1)
    person = lines(enrol(folder))[0]["person"]["id"]
    with closing(sqlite3.connect(tmp_path / "gallery/gallery.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM faces").fetchone()
        result = run("collections", "delete-person", "family", person)
        assert (result.exit_code, lines(result)[0]["erased"]) == (1, False)
        assert "its bytes are not erased yet" in messages(result)[0]
        assert run("collections", "purge", "family").exit_code == 1
    assert run("collections", "purge", "family").exit_code == 0


def test_an_export_is_private_and_can_be_imported(folder: Path, tmp_path: Path) -> None:
    enrol(folder)
    file = tmp_path / "family.jsonl"
    result = run("collections", "export", "family", file)
    assert result.exit_code == 0, result.stderr
    assert lines(result) == [{"file": str(file), "collection": "family", "bytes": file.stat().st_size}]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = run("collections", "import", file)
    assert (lines(again)[0]["people"], lines(again)[0]["faces"]) == (0, 0)
    copy = run("collections", "import", file, "--collection", "copy")
    assert copy.exit_code == 0
    assert (lines(copy)[0]["people"], lines(copy)[0]["faces"]) == (2, 3)
    assert lines(copy)[0]["collection"]["name"] == "copy"
    assert people("copy") == people()


@pytest.mark.parametrize("damage", ["cut", "vector", "long"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_damaged_export_imports_nothing(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path, damage: str, exists: bool
) -> None:
    enrol(folder)
    file = tmp_path / "family.jsonl"
    run("collections", "export", "family", file)
    parts = file.read_bytes().splitlines(keepends=True)
    if damage == "cut":
        file.write_bytes(b"".join(parts[:-1]))
    elif damage == "vector":
        file.write_bytes(
            b"".join([*parts[:2], parts[2].replace(b'"embedding":"', b'"embedding":"AAAA'), parts[3]])
        )
    else:
        monkeypatch.setattr("app.service.gallery_files.MAX_LINE_BYTES", len(parts[0]) + 1)
    if exists:
        run("enrol", folder.parent, "-c", "copy")
        before = lines(run("collections", "show", "copy"))
    result = run("collections", "import", file, "-c", "copy")
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(messages(result)) == 1
    if exists:
        assert lines(run("collections", "show", "copy")) == before
    else:
        assert run("collections", "show", "copy").exit_code == 1


@pytest.mark.parametrize("command", [["backup"], ["export", "family"]])
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_the_gallery_is_not_overwritten(
    folder: Path, tmp_path: Path, command: list[str], suffix: str
) -> None:
    run("enrol", folder, "-c", "family")
    gallery = tmp_path / "gallery/gallery.db"
    with closing(SqliteStore(gallery)) as store:  # keeps the log of the gallery
        own = gallery.with_name(gallery.name + suffix)
        file = tmp_path / "link"
        file.symlink_to(own)
        for name in (own, file):
            result = run("collections", *command, name, "--force")
            assert result.exit_code == 2, result.stderr
            assert messages(result) == [f"The file {name} belongs to the gallery. Choose another name."]
        assert store.check() == []


def test_a_device_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    run("enrol", folder, "-c", "family")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    result = run("collections", "export", "family", pipe, "--force")
    assert result.exit_code == 1
    assert messages(result) == [f"{pipe} cannot be written: it is not a regular file."]
    assert pipe.is_fifo()


def test_a_folder_with_a_blank_name_is_nobody(tmp_path: Path) -> None:
    photo(tmp_path / "people" / " " / "1.png", RED)
    result = run("enrol", tmp_path / "people", "-c", "family")
    assert result.exit_code == 1
    assert lines(result)[0]["problem"]["detail"].startswith("The name of the folder is blank.")
    assert lines(run("collections", "people", "family")) == []


@pytest.mark.parametrize("command", [["export", "family"], ["backup"]])
def test_no_file_is_overwritten_without_force(folder: Path, tmp_path: Path, command: list[str]) -> None:
    enrol(folder)
    file = tmp_path / "out/file"
    file.parent.mkdir()
    file.write_text("precious")
    result = run("collections", *command, file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert messages(result) == [f"The file {file} exists. Choose another name, or overwrite it with --force."]
    assert file.read_text() == "precious"
    result = run("collections", *command, file, "--force")
    assert result.exit_code == 0, result.stderr
    assert file.stat().st_size == lines(result)[0]["bytes"] > 100
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_hidden_folders_are_not_people(folder: Path) -> None:
    for name in (".thumbnails/x", "@eaDir/x", "__MACOSX/Bob/x", "Bob/@eaDir/x", "Bob/.cache/deep/x"):
        photo(folder / f"{name}.png", BLUE)
    result = enrol(folder)
    assert result.exit_code == 0
    assert people() == {"Ann Smith": 2, "Bob": 1}
    (left_out,) = [text for text in messages(result) if "hidden" in text]
    assert left_out.startswith(
        '5 left out: a hidden folder (its name begins with ".", or is @eaDir or __MACOSX):'
    )
    assert f"{folder}/Bob/@eaDir" in left_out


def test_a_folder_with_hidden_folders_alone_has_no_images(tmp_path: Path) -> None:
    photo(tmp_path / "people/.git/x.png", RED)
    result = run("enrol", tmp_path / "people", "-c", "family")
    assert result.exit_code == 1
    assert [text.split(":")[0] for text in messages(result)] == ["1 left out", messages(result)[-1]]


def test_the_given_folder_may_be_hidden(tmp_path: Path) -> None:
    photo(tmp_path / ".people/Bob/x.png", RED)
    assert run("enrol", tmp_path / ".people", "-c", "family").exit_code == 0
    assert people() == {"Bob": 1}


def test_a_backup_is_a_gallery(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> None:
    enrol(folder)
    assert run("collections", "backup", tmp_path / "backup.db").exit_code == 0
    run("collections", "delete", "family", "--yes")
    monkeypatch.setenv("FACE_GALLERY", str(tmp_path / "backup.db"))
    assert people() == {"Ann Smith": 2, "Bob": 1}


def test_what_has_expired_is_purged(folder: Path, tmp_path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    expires = ("--expires", soon.isoformat().replace("+00:00", "Z"))
    person = lines(enrol(folder.parent, *expires))[0]["person"]["id"]
    assert run("enrol", folder, "-c", "others", *expires).exit_code == 0
    assert lines(run("collections", "purge", "family", "--dry-run"))[0]["people"] == []
    time.sleep(max(0, (soon - datetime.now(UTC)).total_seconds()) + 0.1)
    listed = lines(run("collections", "purge", "family", "--dry-run"))
    assert listed == [{"dry_run": True, "people": [person], "faces": []}]
    assert len(lines(run("collections", "purge", "--dry-run"))[0]["people"]) == 3
    assert lines(run("collections", "show", "family"))[0]["people"] == 1
    assert lines(run("collections", "purge", "family"))[0]["people"] == [person]
    assert lines(run("collections", "show", "family"))[0]["people"] == 0
    assert lines(run("collections", "show", "others"))[0]["people"] == 2  # expired, and not deleted yet
    image = next(folder.rglob("*.png"))
    (identified,) = lines(run("identify", image, "--collection", "others"))
    assert {face["person"] for face in identified["faces"]} == {None}
    assert lines(run("collections", "show", "others"))[0]["people"] == 0


SLOW = """
import sys, time
from app import cli
from app.cli import common
from tests.fakes import fake_analyzer
common.load_analyzer = lambda settings, **needs: fake_analyzer(lambda: time.sleep(0.02))
sys.argv = ["facet", "enrol", *sys.argv[1:], "--collection", "family"]
cli.main()
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_is_continued(tmp_path: Path, nets: Nets, sign: signal.Signals) -> None:
    """All that was printed is stored, nobody is enrolled twice, and the nets see only the other images."""
    count = 60
    for i in range(count):
        angle = i / count * np.pi / 2
        blue = 40 + 180 * (i % 2)
        colour = (round(40 + 180 * np.cos(angle)), round(40 + 180 * np.sin(angle)), blue)
        photo(tmp_path / f"people/{i // 2:03}/{i % 2}.png", colour)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path / "people")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as running:
        assert running.stdout is not None
        printed = [json.loads(running.stdout.readline()) for _ in range(15)]
        running.send_signal(sign)
        rest, errors = running.communicate(timeout=60)
    printed += [json.loads(text) for text in rest.splitlines(keepends=True) if text.endswith(b"\n")]
    assert len(printed) < count
    if sign == signal.SIGINT:
        assert running.returncode == 130
        found = re.search(rb"facet: Interrupted after (\d+) of 60 images.\nfacet: \d+ people and ", errors)
        assert found is not None
        assert int(found[1]) - len(printed) in (0, 1)
        assert 0 not in people().values()
    stored = sum(people().values())
    assert stored - len(printed) in (0, 1)
    result = enrol(tmp_path / "people")
    assert result.exit_code == 0, result.stderr
    assert nets.images == count - stored
    assert people() == {f"{i:03}": 2 for i in range(count // 2)}
    final = {one["file"]: one.get("face") or one["duplicate_of"] for one in lines(result)}
    assert all(final[one["file"]] == one["face"] for one in printed)


def test_the_other_commands_do_not_import_the_gallery() -> None:
    program = (
        "import sys, app.cli\n"
        "names = {'sqlite3', 'app.gallery.gallery', 'app.service.enrolment'}\n"
        "sys.exit(str(sorted(names & set(sys.modules))))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr == "[]\n"
