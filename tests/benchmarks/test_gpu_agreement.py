"""The comparison of nets and faces on two devices sees what differs, and nothing else."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from app.pipeline.analyzer import Analyzer
from app.pipeline.faces import Faces
from app.runtime.device import Device
from app.runtime.model_store import LoadedModel
from app.runtime.session import OrtSession
from benchmarks.gpu import agreement, inputs
from benchmarks.gpu.agreement import TOLERANCE, Difference, compare_faces, compare_net, match
from benchmarks.gpu.inputs import Inputs
from tests.benchmarks.gpu_plan import last, plan
from tests.sessions import model, session

RANDOM = Inputs([np.random.default_rng(1).integers(0, 256, (3, 24, 24, 3), np.uint8)])


def disturbed(tmp_path: Path, file: str, factor: float) -> OrtSession:
    """Return a net, the weights of whose first convolution are multiplied by a factor."""
    net = onnx.load(Path("models") / file)
    conv = next(node for node in net.graph.node if node.op_type == "Conv")
    weight = next(tensor for tensor in net.graph.initializer if tensor.name == conv.input[1])
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(factor), weight.name))
    path = tmp_path / file
    onnx.save(net, path)
    return OrtSession(path, Device("cpu"))


def test_equal_nets_do_not_differ() -> None:
    found = compare_net("mtcnn rnet", session("mtcnn-rnet.onnx"), session("mtcnn-rnet.onnx"), RANDOM)
    assert {d.output for d in found} == {"offsets", "score"}
    assert all(d.share == 0 and d.greatest > 0 for d in found)


@pytest.mark.parametrize("factor", [1.05, 0.0])
def test_a_disturbed_net_differs(tmp_path: Path, factor: float) -> None:
    net = disturbed(tmp_path, "mtcnn-rnet.onnx", factor)
    found = compare_net("mtcnn rnet", net, session("mtcnn-rnet.onnx"), RANDOM)
    assert max(d.share for d in found) > TOLERANCE


def test_a_difference_for_random_inputs_only_is_seen(tmp_path: Path) -> None:
    net = disturbed(tmp_path, "mtcnn-rnet.onnx", 1.05)
    zeros = Inputs([np.zeros((1, 24, 24, 3), np.uint8)], RANDOM.photographs)
    alone = compare_net("mtcnn rnet", net, session("mtcnn-rnet.onnx"), Inputs(zeros.photographs))
    both = compare_net("mtcnn rnet", net, session("mtcnn-rnet.onnx"), zeros)
    assert max(d.share for d in both) > max(d.share for d in alone)


@pytest.mark.parametrize(
    "difference", [Difference("n", "o", 1, math.nan, 0), Difference("n", "o", 1, 0, math.nan)]
)
def test_what_is_not_a_number_is_beyond_any_tolerance(difference: Difference) -> None:
    assert difference.share == math.inf


def test_a_net_that_gives_no_numbers_differs() -> None:
    class Broken:
        def __init__(self) -> None:
            self.net = session("mtcnn-rnet.onnx")

        def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
            return {name: np.full_like(value, np.nan) for name, value in self.net.run(images).items()}

    found = compare_net("mtcnn rnet", Broken(), session("mtcnn-rnet.onnx"), RANDOM)  # type: ignore[arg-type]
    assert all(d.share == math.inf for d in found)


def test_a_net_without_inputs_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="mtcnn rnet no input"):
        compare_net("mtcnn rnet", session("mtcnn-rnet.onnx"), session("mtcnn-rnet.onnx"), Inputs())


def faces(boxes: list[list[float]], shift: float = 0.0) -> Faces:
    corners = np.array(boxes, np.float32)
    points = np.repeat(corners[:, None, :2], 5, axis=1) + np.float32(shift)
    return Faces(corners, np.ones(len(corners), np.float32), points)


def test_faces_are_matched_in_any_order() -> None:
    one, two = [0.0, 0, 10, 20], [50.0, 50, 90, 90]
    assert match(faces([two, one]), faces([one, two])) == (1.0, 0.0)


def test_moved_boxes_and_points_are_seen() -> None:
    here = faces([[0, 0, 10, 20]])
    overlap, share = match(replace(faces([[5, 0, 15, 20]]), points=here.points), here)
    assert overlap == pytest.approx(1 / 3)
    assert share == 0
    overlap, share = match(faces([[0, 0, 10, 20]], shift=3), here)
    assert overlap == 1
    assert share == pytest.approx(math.hypot(3, 3) / 10)


def test_a_detector_with_a_disturbed_stage_does_not_agree(tmp_path: Path) -> None:
    right = model("mtcnn")
    wrong = replace(right, sessions={**right.sessions, "onet": disturbed(tmp_path, "mtcnn-onet.onnx", 0.5)})
    photos = inputs.rgb_photos(small=True)
    assert compare_faces(Analyzer([right]), Analyzer([right]), photos)[1] == []
    assert compare_faces(Analyzer([wrong]), Analyzer([right]), photos)[1] != []


def test_every_net_gets_inputs_of_photos_and_random_ones_of_the_same_shapes() -> None:
    models = [model(name) for name in ("cascade", "mesh68", "siamese")]
    found = inputs.inputs_of(models, inputs.rgb_photos(small=True))
    stages = {("cascade", "pnet"), ("cascade", "rnet"), ("cascade", "onet"), ("mesh68", "landmarks")}
    assert set(found) == stages | {("siamese", "embedder"), ("siamese", "head")}
    for given in found.values():
        assert given.photographs
        assert {x.shape[1:] for x in given.photographs} == {x.shape[1:] for x in given.random}
        assert {x.dtype for x in given.photographs} == {x.dtype for x in given.random}
        assert all(x.std() > 0 for x in given.random)


def test_the_section_names_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = model("mtcnn")
    wrong = replace(right, sessions={**right.sessions, "rnet": disturbed(tmp_path, "mtcnn-rnet.onnx", 1.05)})
    answers: list[list[LoadedModel]] = [[wrong], [right], [right], [right]]
    monkeypatch.setattr(agreement, "load", lambda *_: answers.pop(0))
    result = last(agreement.measure, plan())
    assert any(fault.startswith("mtcnn rnet, ") for fault in result.faults)
    assert not any(fault.startswith(("mtcnn pnet", "mtcnn onet")) for fault in result.faults)
    assert [row[:2] for row in result.tables[0].rows][:2] == [
        ["mtcnn pnet", "offsets"],
        ["mtcnn pnet", "score"],
    ]
    assert last(agreement.measure, plan()).faults == []


def test_the_section_says_what_it_has_no_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "load", lambda *_: [model("mtcnn")])
    result = last(agreement.measure, plan(seconds=0))
    assert not result.complete
    assert result.notes[-1] == "The time was over before mtcnn."
