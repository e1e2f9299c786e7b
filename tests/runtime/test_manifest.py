"""Manifests: what a task needs, and the models of several folders together."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from app.errors import BadModel, UnknownModel
from app.runtime import model_store
from app.runtime.manifest import MANIFEST, free_models, models_for, read_manifest
from app.vision.spec import Task
from tests.stores import write_store

Write = Callable[..., Path]


def listed(name: str, task: Task = "embed", default: bool = False, **more: object) -> dict[str, object]:
    file = {"file": f"{name}.onnx", "bytes": 3, "sha256": "0" * 64}
    return {"name": name, "task": task, "default": default, "files": [file], **more}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a folder of a name with a manifest of these models."""

    def write_folder(name: str, *models: dict[str, object]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / MANIFEST).write_text(json.dumps({"models": models}))
        return folder

    return write_folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return a folder with a manifest of two detectors, the second the default, and of one embedder."""
    named = [("first", "detect", False), ("second", "detect", True), ("vectors", "embed", False)]
    listed = [{"name": name, "task": task, "default": default, "files": []} for name, task, default in named]
    (tmp_path / MANIFEST).write_text(json.dumps({"models": listed}))
    return tmp_path


def test_a_task_needs_the_named_model_or_the_default_or_the_only_one(models: Path) -> None:
    assert models_for(models, {"detect": None, "embed": None}) == {"second", "vectors"}
    assert models_for(models, {"detect": "first"}) == {"first"}
    assert models_for(models, {"detect": None}, frozenset({"first", "vectors"})) == {"first"}
    assert models_for(models, {}) == frozenset()


@pytest.mark.parametrize(
    ("tasks", "among", "known"),
    [
        ({"detect": "third"}, None, ["first", "second"]),
        ({"detect": "vectors"}, None, ["first", "second"]),
        ({"detect": "second"}, frozenset({"first"}), ["first"]),
        ({"landmarks": None}, None, []),
    ],
)
def test_a_model_that_does_not_do_the_task_is_unknown(
    models: Path, tasks: dict[Task, str | None], among: frozenset[str] | None, known: list[str]
) -> None:
    with pytest.raises(UnknownModel) as caught:
        models_for(models, tasks, among)
    assert caught.value.known == known


def test_models_of_several_folders_are_listed_in_order_and_know_their_files(write: Write) -> None:
    first, second = write("a", listed("x"), listed("y")), write("b", listed("z"))
    manifest = read_manifest([first, second])
    assert [entry.name for entry in manifest.models] == ["x", "y", "z"]
    assert [entry.path_of(entry.files[0]) for entry in manifest.models] == [
        first / "x.onnx",
        first / "y.onnx",
        second / "z.onnx",
    ]
    assert models_for([first, second], {"embed": "z"}) == {"z"}


def test_a_default_of_a_later_folder_does_not_replace_one(write: Write) -> None:
    first = write("a", listed("x"), listed("y", default=True))
    second = write("b", listed("mine", default=True), listed("points", "landmarks", default=True))
    defaults = {entry.name for entry in read_manifest([first, second]).models if entry.default}
    assert defaults == {"y", "points"}
    entry = read_manifest([first, second]).models[2]
    assert entry.path_of(entry.files[0]) == second / "mine.onnx"
    assert models_for([first, second], {"embed": None}) == {"y"}
    assert models_for([second], {"embed": None}) == {"mine"}


def test_a_model_in_two_folders_is_refused_and_both_are_named(write: Write) -> None:
    first, second = write("a", listed("x")), write("b", listed("y"), listed("x"))
    with pytest.raises(BadModel) as caught:
        read_manifest([first, second])
    assert caught.value.detail == (
        f"The model x is in {first} and in {second}. Export one of them under another name, or use one of "
        "the folders."
    )


def test_a_folder_that_is_named_twice_is_refused(write: Write) -> None:
    first = write("a", listed("x"))
    again = first / ".." / "a"
    with pytest.raises(BadModel) as caught:
        read_manifest([first, again])
    assert caught.value.detail == f"The model folder {again} is named twice. Name each folder once."


def test_a_file_in_two_folders_is_refused(write: Write) -> None:
    first = write("a", listed("x") | {"files": listed("x-head")["files"]})
    with pytest.raises(BadModel, match=r"The file x-head\.onnx is in .*a and in .*b\."):
        read_manifest([first, write("b", listed("x-head"))])


def test_a_missing_folder_and_one_without_a_manifest_are_one_line(write: Write, tmp_path: Path) -> None:
    good = write("a", listed("x"))
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(BadModel) as caught:
            read_manifest([good, folder])
        assert caught.value.detail == (
            f"{folder / MANIFEST} cannot be read: No such file or directory. A model folder must exist and "
            "have this file."
        )


def test_a_manifest_does_not_name_its_folder(write: Write) -> None:
    with pytest.raises(BadModel, match="is invalid"):
        read_manifest(write("a", listed("x", _folder="/etc")))


def test_what_has_no_licence_or_is_for_research_only_is_not_free(write: Write) -> None:
    first = write("a", listed("x"), listed("y", research_only=True), listed("z", unlicensed=True))
    second = write("b", listed("v"), listed("w", parts=["x", "z"]))
    assert free_models([first, second]) == {"x", "v"}


def stores(tmp_path: Path, *names: Iterable[str]) -> list[Path]:
    folders = [tmp_path / str(i) for i in range(len(names))]
    for folder, these in zip(folders, names, strict=True):
        folder.mkdir()
        write_store(folder, these)
    return folders


def test_parts_and_meshes_are_found_in_other_folders(tmp_path: Path) -> None:
    folders = stores(tmp_path, ["dlib"], ["mtcnn", "fused"], ["sface", "mesh68", "cnn15"])
    opened = model_store.load(folders, "cpu", names=frozenset({"fused"}))
    assert [model.entry.name for model in opened] == ["dlib", "fused", "mesh68", "sface"]
    with pytest.raises(BadModel, match="does not list mesh68, sface, which another model needs"):
        model_store.load(folders[:2], "cpu", names=frozenset({"fused"}))


def test_a_changed_file_of_a_later_folder_is_refused_by_its_path(tmp_path: Path) -> None:
    folders = stores(tmp_path, ["mtcnn"], ["cnn15"])
    path = folders[1] / "cnn15.onnx"
    path.unlink()
    path.write_bytes(b"changed")
    with pytest.raises(BadModel, match=f"{path} has sha256"):
        model_store.load(folders, "cpu")


def test_a_manifest_that_denies_a_licence_is_refused(tmp_path: Path) -> None:
    (folder,) = stores(tmp_path, ["sface"])
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    manifest["models"][0]["unlicensed"] = True
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadModel, match=r"has the licence Apache-2\.0, but the manifest says it has no"):
        model_store.load(folder, "cpu")
