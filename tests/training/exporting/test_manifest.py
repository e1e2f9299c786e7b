"""The manifest of a model folder."""

import hashlib
from pathlib import Path

import onnx
import pytest

from app.runtime.manifest import MANIFEST, read_manifest
from training.config.registry import RunError
from training.exporting import manifest
from training.exporting.manifest import Entry


def entry(name: str, task: str = "embed", default: bool = False, **more: object) -> Entry:
    file = {"file": f"{name}.onnx", "bytes": 3, "sha256": "0" * 64}
    return {"name": name, "task": task, "default": default, **more, "files": [file]}


FIRST = [entry("a", default=True), entry("b", parts=["a"]), entry("c", task="landmarks", default=True)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manifest.write(tmp_path, FIRST)
    return tmp_path


def saved(path: Path, node: str, metadata: str) -> Path:
    """Write a net of one node with metadata."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node(node, ["x"], ["y"])], "net", [value], [])
    model = onnx.helper.make_model(graph)
    model.metadata_props.add(key="spec", value=metadata)
    path.write_bytes(model.SerializeToString())
    return path


def test_a_file_is_described_by_its_name_size_and_hashes(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.onnx", "Relu", "a")
    described = manifest.describe(path)
    content = path.read_bytes()
    assert described | {"graph": ""} == {
        "file": "x.onnx",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "graph": "",
    }


def test_the_hash_of_the_net_leaves_the_metadata_out(tmp_path: Path) -> None:
    first = manifest.describe(saved(tmp_path / "x.onnx", "Relu", "a"))
    calibrated = manifest.describe(saved(tmp_path / "x.onnx", "Relu", "b"))
    changed = manifest.describe(saved(tmp_path / "x.onnx", "Neg", "a"))
    assert first["sha256"] != calibrated["sha256"]
    assert first["graph"] == calibrated["graph"] != changed["graph"]


def test_entries_come_back_and_the_service_reads_them(folder: Path) -> None:
    assert manifest.entries(folder) == FIRST
    assert [model.name for model in read_manifest(folder).models] == ["a", "b", "c"]
    assert [path.name for path in folder.iterdir()] == [MANIFEST]


def test_a_folder_without_a_manifest_has_no_entries(tmp_path: Path) -> None:
    assert manifest.entries(tmp_path) == []


def test_a_new_entry_is_appended(folder: Path) -> None:
    manifest.put(folder, entry("d"))
    assert manifest.entries(folder) == [*FIRST, entry("d")]


def test_the_first_entry_creates_the_manifest(tmp_path: Path) -> None:
    manifest.put(tmp_path, entry("d"))
    assert manifest.entries(tmp_path) == [entry("d")]


@pytest.mark.parametrize(("name", "position"), [("a", 0), ("b", 1)])
def test_an_entry_is_replaced_in_its_place_and_stays_the_default_or_not(
    folder: Path, name: str, position: int
) -> None:
    changed = entry(name, default=name != "a") | {"files": [{"file": "n", "bytes": 1, "sha256": "1" * 64}]}
    manifest.put(folder, changed)
    expected = list(FIRST)
    expected[position] = changed | {"default": FIRST[position]["default"]}
    assert manifest.entries(folder) == expected


def test_a_name_of_another_task_cannot_be_replaced(folder: Path) -> None:
    manifest.check_name(folder, "a", "embed", ["a.onnx", "a-head.onnx"])
    manifest.check_name(folder, "new", "embed", ["new.onnx"])
    manifest.check_name(folder / "none", "new", "embed", ["new.onnx"])
    with pytest.raises(
        RunError, match=r"model c for landmarks, with this name or such a file\. Give another"
    ):
        manifest.check_name(folder, "c", "embed", ["c.onnx"])


def test_a_file_of_another_model_cannot_be_replaced(folder: Path) -> None:
    manifest.put(folder, entry("d", int8=[{"file": "d-int8.onnx", "bytes": 3, "sha256": "0" * 64}]))
    for name in ("b", "d-int8"):
        with pytest.raises(
            RunError, match=r"already has a model [bd] for embed, with this name or such a file"
        ):
            manifest.check_name(folder, "x", "embed", ["x.onnx", f"{name}.onnx"])


@pytest.mark.parametrize(
    ("name", "files"),
    [("cascade", []), ("sface-int8", ["sface-int8.onnx"]), ("siamese-head", ["siamese-head.onnx"])],
)
def test_a_name_that_a_shipped_model_uses_is_refused(folder: Path, name: str, files: list[str]) -> None:
    with pytest.raises(
        RunError, match=rf"^{name} is a name that the shipped model \w+ uses\. Give another --name"
    ):
        manifest.check_name(folder, name, "detect", files)


def test_a_shipped_model_is_replaced_in_its_own_folder() -> None:
    manifest.check_name(Path("models"), "cnn68", "landmarks", ["cnn68.onnx"])
    with pytest.raises(RunError, match="already has a model cnn68 for landmarks"):
        manifest.check_name(Path("models"), "cnn68", "embed", ["cnn68.onnx"])


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../a", ".a", "-a", "a.b", "a,b", "ä", "a\n", "x" * 65])
def test_a_name_that_no_model_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="cannot be the name of a model") as caught:
        manifest.check_name(tmp_path, name, "embed", [])
    assert "\n" not in str(caught.value)
