"""The audit of nodes, on profiles of the CPU and on made ones."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.runtime.device import Device
from app.runtime.manifest import Manifest, read_manifest
from benchmarks.gpu import nodes
from benchmarks.gpu.nodes import audit, nodes_of, profile
from tests.benchmarks.gpu_plan import last, plan

CUDA = Device("cuda")
CPU = Device("cpu")


def event(name: str, operator: str, provider: str, **output: list[int]) -> dict[str, Any]:
    args = {"op_name": operator, "provider": f"{provider}ExecutionProvider", "output_type_shape": [output]}
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": 1, "args": {**args, "node_index": name}}


def test_a_profile_of_the_cpu_is_full_of_findings_for_cuda() -> None:
    found = profile(Path("models/cnn68.onnx"), CPU)
    (total, on_device, copies, shapes, others), strays = audit(found, CUDA)
    assert (on_device, copies) == (0, 0)
    assert total == shapes + others == len(found)
    operators = Counter(node.operator for node in strays)
    assert operators["Conv"] == 8
    assert not {"Shape", "Gather", "Concat"} & operators.keys()  # shapes only
    assert {"Shape", "Gather", "Concat"} <= {node.operator for node in found if node.makes_shape}


def test_a_profile_of_the_cpu_is_right_for_the_cpu() -> None:
    (total, on_device, *rest), strays = audit(profile(Path("models/mtcnn-pnet.onnx"), CPU), CPU)
    assert total == on_device > 10
    assert (rest, strays) == ([0, 0, 0], [])


def test_nets_with_a_vector_or_a_pair_as_input_run() -> None:
    for file in ("fused.onnx", "siamese-head.onnx"):
        assert profile(Path("models") / file, CPU)


def test_each_kind_of_node_is_counted() -> None:
    events = [
        {"cat": "Session", "name": "model_run", "args": {}},
        event("a", "Conv", "CUDA", float=[1, 8, 9, 9]),
        event("a", "Conv", "CUDA", float=[1, 8, 9, 9]),  # the second run of the same node
        event("b", "MemcpyFromHost", "CUDA", float=[1, 8]),
        event("c", "MemcpyToHost", "CUDA", float=[1, 8]),
        event("d", "Gather", "CPU", int64=[2]),
        event("e", "Softmax", "CPU", float=[1, 2]),
        event("f", "ArgMax", "CPU", int64=[1, 4096]),  # integers, but too many for a shape
        event("g", "Relu", "Tensorrt", float=[4]),
    ]
    counts, strays = audit(nodes_of(events), CUDA)
    assert counts == [8 - 1, 1, 2, 1, 3]
    assert [node.name for node in strays] == ["e", "f", "g"]


def test_a_node_without_the_types_of_its_outputs_is_not_taken_for_a_shape() -> None:
    bare = event("a", "Relu", "CPU")
    del bare["args"]["output_type_shape"]
    assert audit(nodes_of([bare]), CUDA)[0][-1] == 1


def test_the_section_names_the_node_and_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [entry for entry in read_manifest(Path("models")).models if entry.name == "fused"]
    monkeypatch.setattr(nodes, "read_manifest", lambda _: Manifest(models=tuple(few)))
    assert last(nodes.measure, plan()).faults == []
    stray = nodes_of([event("x", "Softmax", "CUDA", float=[4])])
    monkeypatch.setattr(nodes, "profile", lambda *_: stray)
    result = last(nodes.measure, plan())
    assert result.faults == ["fused.onnx: Softmax x ran on CUDAExecutionProvider"]
    assert result.tables[0].rows == [["fused.onnx", 1, 0, 0, 0, 1]]
