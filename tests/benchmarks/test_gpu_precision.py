"""Precisions: TF32 is only an option of the provider, and float16 nets calculate in float16."""

import sys
from pathlib import Path

import onnx
import pytest

from app.runtime.device import Device
from benchmarks.gpu import precision
from benchmarks.gpu.precision import Tf32Device, half, ways
from tests.benchmarks.gpu_plan import last, plan

NET = Path("models/mtcnn-rnet.onnx")
CUDA = Device("cuda", index=1, memory_mb=64)


def test_tf32_changes_that_option_only() -> None:
    notes: list[str] = []
    device, content = ways(NET, CUDA, notes)["TF32"]
    assert (content, notes) == (None, [])
    changed, used = device.providers(), CUDA.providers()
    assert isinstance(device, Tf32Device)
    assert isinstance(changed[0], tuple)
    assert isinstance(used[0], tuple)
    assert (used[0][1]["use_tf32"], changed[0][1]["use_tf32"]) == ("0", "1")
    assert changed[0][1] | {"use_tf32": "0"} == used[0][1]
    assert changed[1:] == used[1:]


def test_a_cpu_has_no_tf32() -> None:
    assert list(ways(NET, Device("cpu"), [])) == ["float32", "float16"]


def test_a_half_net_has_weights_of_float16_and_the_metadata_of_its_file() -> None:
    before, after = onnx.load(NET), onnx.load_from_string(half(NET))
    kinds = {tensor.data_type for tensor in after.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert onnx.TensorProto.FLOAT not in kinds
    assert list(after.metadata_props) == list(before.metadata_props)
    assert [o.type for o in after.graph.output] == [o.type for o in before.graph.output]


def test_without_the_package_onnx_float16_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    notes: list[str] = []
    for _ in range(2):
        assert list(ways(NET, CUDA, notes)) == ["float32", "TF32"]
    assert notes == ["float16 is not measured: the package onnx, which converts the nets, is not installed."]


def test_a_net_that_does_not_run_is_a_note_and_not_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "models_for", lambda *_: frozenset({"mtcnn"}))
    monkeypatch.setattr(precision, "half", lambda path: b"no net" if path == NET else half(path))
    result = last(precision.measure, plan())
    (table,) = result.tables
    differences = {(row[0], row[1]): row[-1] for row in table.rows}
    assert differences["mtcnn rnet", "float16"] is None
    assert any(note.startswith("mtcnn-rnet.onnx does not run in float16: ") for note in result.notes)
    assert differences["mtcnn onet", "float32"] == 0
    assert 0 < float(str(differences["mtcnn onet", "float16"])) < 0.01
