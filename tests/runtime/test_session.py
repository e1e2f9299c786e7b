from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from app.errors import BadModel, DeviceUnavailable, OutOfMemory
from app.runtime.device import PROVIDERS, Device
from app.runtime.scheduler import DeviceScheduler, ScheduledSession
from app.runtime.session import DeviceBinding, OrtSession
from app.vision.spec import METADATA_KEY, LandmarkSpec
from tests.fakes import COMMON

SPEC = LandmarkSpec(
    model="tiny",
    size=4,
    template="arcface",
    scheme="ibug68",
    **COMMON,
)


def tiny(path: Path, spec: str | None = None) -> Path:
    """A real graph: the mean of each picture, as output `points`."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 4, 4, 3])
    points = helper.make_tensor_value_info("points", TensorProto.FLOAT, ["n", 1])
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("ReduceMean", ["flat", "axes"], ["points"], keepdims=1),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "tiny", [image], [points], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    if spec is not None:
        model.metadata_props.add(key=METADATA_KEY, value=spec)
    onnx.save(model, path)
    return path


def test_a_batch_of_n_equals_n_singles_and_none_is_ordinary(tmp_path: Path) -> None:
    net = OrtSession(tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json()), Device("cpu"))
    images = np.random.default_rng(0).integers(0, 255, (11, 4, 4, 3), dtype=np.uint8)
    together = net.run(images)["points"]
    assert together.shape == (11, 1)
    for i in range(11):
        assert net.run(images[i : i + 1])["points"][0] == pytest.approx(together[i])
    assert net.run(images[:0])["points"].shape == (0, 1)
    assert net.spec == SPEC
    assert net.provider == "CPUExecutionProvider"
    assert net.device == Device("cpu")


def test_padding_to_a_gpus_batch_sizes_leaves_the_answers_alone(tmp_path: Path) -> None:
    class Padded(Device):
        def batch_sizes(self, pixels: int) -> tuple[int, ...]:
            return (4,)

    path = tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json())
    images = np.random.default_rng(0).integers(0, 255, (7, 4, 4, 3), dtype=np.uint8)
    plain, padded = OrtSession(path, Device("cpu")), OrtSession(path, Padded("cpu"))
    assert padded.run(images)["points"] == pytest.approx(plain.run(images)["points"])


@pytest.mark.parametrize("count", [1, 4])
def test_an_input_kept_on_the_device_answers_as_a_plain_call_does(tmp_path: Path, count: int) -> None:
    """The CPU stands in for the device: the binding is the same. What was answered stays as it was."""
    path = tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json())
    rng = np.random.default_rng(0)
    batches_of = [rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8) for _ in range(3)]
    plain = OrtSession(path, Device("cpu"))
    bound = DeviceBinding(plain.session, batches_of[0], Device("cpu"))
    answers = [bound.run(images)[0] for images in batches_of]
    for images, answer in zip(batches_of, answers, strict=True):
        assert np.array_equal(answer, plain.run(images)["points"])


def test_a_session_keeps_one_input_for_every_shape_and_threads_take_turns(tmp_path: Path) -> None:
    class KeptInputs(OrtSession):
        """As on a GPU, with the CPU in its place."""

        def __init__(self, path: Path) -> None:
            super().__init__(path, Device("cpu"))
            self.bindings = {}

    path = tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json())
    plain, kept = OrtSession(path, Device("cpu")), KeptInputs(path)
    rng = np.random.default_rng(0)
    many = [rng.integers(0, 256, (1 + i % 3, 4, 4, 3), dtype=np.uint8) for i in range(60)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda images: kept.infer(images, len(images))[0], many))
    for images, answer in zip(many, answers, strict=True):
        assert np.array_equal(answer, plain.run(images)["points"])
    assert sorted(shape[0] for shape in kept.bindings or ()) == [1, 2, 3]


@pytest.mark.parametrize("n", [0, 1, 2, 7, 50])
def test_slots_answer_as_one_thread_does_in_order(tmp_path: Path, n: int) -> None:
    path = tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json())
    images = np.random.default_rng(0).integers(0, 255, (n, 4, 4, 3), dtype=np.uint8)
    plain = OrtSession(path, Device("cpu"))
    slots = ScheduledSession(OrtSession(path, Device("cpu", threads=3), parallel=True), DeviceScheduler(3))
    assert np.array_equal(slots.run(images)["points"], plain.run(images)["points"])
    assert slots.map(lambda i: i * i, range(n)) == [i * i for i in range(n)]


def test_calls_side_by_side_are_of_a_cpu_and_a_session_with_slots(tmp_path: Path) -> None:
    path = tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json())
    assert OrtSession(path, Device("cpu", threads=3), parallel=True).slots == 3
    assert OrtSession(path, Device("cpu", threads=3)).slots == 1
    assert Device("cuda", threads=3).slots == 1
    assert Device("cpu").slots >= 1


@pytest.mark.parametrize(
    "text",
    [
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
        "Status Message: bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer "
        "of size 536870912",
        "[ONNXRuntimeError] : 1 : FAIL : Available memory of 1024 is smaller than requested bytes of 2048",
        "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; expr=cublasCreate(&handle);",
        "CUDNN_FE failure 8: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "std::bad_alloc",
    ],
)
def test_a_device_that_is_out_of_memory_says_so(tmp_path: Path, text: str) -> None:
    net = OrtSession(tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json()), Device("cpu"))

    class Full:
        def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            raise RuntimeError(text)

    net.session = Full()
    with pytest.raises(OutOfMemory, match="memory for 4 images in the landmarks of tiny"):
        net.infer(np.zeros((3, 4, 4, 3), np.uint8), 4)


def test_other_errors_of_a_net_stay_what_they_are(tmp_path: Path) -> None:
    net = OrtSession(tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json()), Device("cpu"))
    with pytest.raises(Exception, match="INVALID_ARGUMENT") as caught:
        net.infer(np.zeros((1, 5, 4, 3), np.uint8), 1)
    assert not isinstance(caught.value, OutOfMemory)


def test_a_file_without_a_spec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"has no facet\.spec metadata"):
        OrtSession(tiny(tmp_path / "tiny.onnx"), Device("cpu"))


@pytest.mark.parametrize(
    ("old", "new"),
    [('"kind"', '"sort"'), ('"arcface"', '"unheard-of"'), ('"size":4', '"size":4,"extra":1')],
)
def test_a_spec_with_an_unknown_key_or_template_is_refused(tmp_path: Path, old: str, new: str) -> None:
    text = SPEC.model_dump_json()
    assert old in text
    with pytest.raises(BadModel, match=r"The spec of .* is invalid"):
        OrtSession(tiny(tmp_path / "tiny.onnx", text.replace(old, new)), Device("cpu"))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(BadModel, match=r"broken\.onnx cannot be loaded"):
        OrtSession(path, Device("cpu"))


def test_cuda_that_the_session_does_not_get_is_refused(tmp_path: Path) -> None:
    if PROVIDERS["cuda"] in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    path = tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json())
    with pytest.raises(DeviceUnavailable, match=r"requirements/gpu\.txt"):
        OrtSession(path, Device("cuda"))
