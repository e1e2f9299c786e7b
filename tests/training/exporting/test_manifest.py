"""The manifest of a model folder."""

import hashlib
from pathlib import Path

import onnx
import pytest

from app.runtime.model_store import MANIFEST, read_manifest
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
    manifest.check_replaceable(folder, "a", "embed")
    manifest.check_replaceable(folder, "new", "embed")
    with pytest.raises(RunError, match=r"model c for landmarks, not embed\. Give another --name"):
        manifest.check_replaceable(folder, "c", "embed")
