from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from app.errors import BadModel, DeviceUnavailable, OutOfMemory
from app.runtime import session
from app.runtime.scheduler import DeviceScheduler, ScheduledSession, Unwatched
from app.runtime.session import Bound, Device, OrtSession, batches, candidates
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


@given(st.integers(0, 500), st.sampled_from([(1, 4, 16, 64), (1,), tuple(range(1, 33)), (4, 16)]))
def test_batches_cover_every_item_once_in_allowed_sizes(n: int, sizes: tuple[int, ...]) -> None:
    plan = batches(n, sizes)
    assert [start for start, _, _ in plan] == list(np.cumsum([0, *(c for _, c, _ in plan)])[: len(plan)])
    assert sum(count for _, count, _ in plan) == n
    assert all(size in sizes and 0 < count <= size for _, count, size in plan)


def test_a_half_empty_batch_is_not_padded_further() -> None:
    assert batches(5, (1, 4, 16)) == [(0, 4, 4), (4, 1, 1)]
    assert batches(9, (1, 4, 16)) == [(0, 9, 16)]
    assert batches(3, (1, 4, 16)) == [(0, 3, 4)]


def test_cpu_batches_grow_with_smaller_pictures_and_never_vanish() -> None:
    cpu = Device("cpu")
    assert len(cpu.batch_sizes(24 * 24)) > len(cpu.batch_sizes(48 * 48)) > 1
    assert cpu.batch_sizes(10_000_000) == (1,)


def test_gpu_batches_are_few_and_bounded_by_pixels() -> None:
    gpu = Device("cuda")
    assert gpu.batch_sizes(24 * 24) == gpu.batch_sizes(150 * 150) == (1, 4, 16, 64)
    assert gpu.batch_sizes(gpu.pages.width * gpu.pages.height) == (1, 4, 16)
    assert gpu.batch_sizes(100_000_000) == (1,)


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
    bound = Bound(plain.session, batches_of[0], "cpu", 0)
    answers = [bound.run(images)[0] for images in batches_of]
    for images, answer in zip(batches_of, answers, strict=True):
        assert np.array_equal(answer, plain.run(images)["points"])


def test_a_session_keeps_one_input_for_every_shape_and_threads_take_turns(tmp_path: Path) -> None:
    class Kept(OrtSession):
        """As on a GPU, with the CPU in its place."""

        def __init__(self, path: Path) -> None:
            super().__init__(path, Device("cpu"))
            self.bound = {}

    path = tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json())
    plain, kept = OrtSession(path, Device("cpu")), Kept(path)
    rng = np.random.default_rng(0)
    many = [rng.integers(0, 256, (1 + i % 3, 4, 4, 3), dtype=np.uint8) for i in range(60)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda images: kept.infer(images, len(images))[0], many))
    for images, answer in zip(many, answers, strict=True):
        assert np.array_equal(answer, plain.run(images)["points"])
    assert sorted(shape[0] for shape in kept.bound or ()) == [1, 2, 3]


@pytest.mark.parametrize("n", [0, 1, 2, 7, 50])
def test_lanes_answer_as_one_thread_does_in_order(tmp_path: Path, n: int) -> None:
    path = tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json())
    images = np.random.default_rng(0).integers(0, 255, (n, 4, 4, 3), dtype=np.uint8)
    plain = OrtSession(path, Device("cpu"))
    lanes = ScheduledSession(
        OrtSession(path, Device("cpu", threads=3), parallel=True), DeviceScheduler(3, Unwatched())
    )
    assert np.array_equal(lanes.run(images)["points"], plain.run(images)["points"])
    assert lanes.each(lambda i: i * i, range(n)) == [i * i for i in range(n)]


def test_calls_side_by_side_are_of_a_cpu_and_a_session_with_lanes(tmp_path: Path) -> None:
    path = tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json())
    assert OrtSession(path, Device("cpu", threads=3), parallel=True).lanes == 3
    assert OrtSession(path, Device("cpu", threads=3)).lanes == 1
    assert Device("cuda", threads=3).lanes == 1
    assert Device("cpu").lanes >= 1


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
    with pytest.raises(OutOfMemory, match="no memory for 4 images of tiny's landmarks"):
        net.infer(np.zeros((3, 4, 4, 3), np.uint8), 4)


def test_other_errors_of_a_net_stay_what_they_are(tmp_path: Path) -> None:
    net = OrtSession(tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json()), Device("cpu"))
    with pytest.raises(Exception, match="INVALID_ARGUMENT") as caught:
        net.infer(np.zeros((1, 5, 4, 3), np.uint8), 1)
    assert not isinstance(caught.value, OutOfMemory)


def test_a_file_without_a_spec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="carries no"):
        OrtSession(tiny(tmp_path / "tiny.onnx"), Device("cpu"))


@pytest.mark.parametrize(
    ("old", "new"),
    [('"kind"', '"sort"'), ('"arcface"', '"unheard-of"'), ('"size":4', '"size":4,"extra":1')],
)
def test_a_spec_with_an_unknown_key_or_template_is_refused(tmp_path: Path, old: str, new: str) -> None:
    text = SPEC.model_dump_json()
    assert old in text
    with pytest.raises(BadModel, match="not understood"):
        OrtSession(tiny(tmp_path / "tiny.onnx", text.replace(old, new)), Device("cpu"))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(BadModel, match=r"broken\.onnx does not load"):
        OrtSession(path, Device("cpu"))


def test_cuda_that_the_session_does_not_get_is_refused(tmp_path: Path) -> None:
    if session.PROVIDERS["cuda"] in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    path = tiny(tmp_path / "tiny.onnx", SPEC.model_dump_json())
    with pytest.raises(DeviceUnavailable, match=r"requirements/gpu\.txt"):
        OrtSession(path, Device("cuda"))


def test_devices_by_name() -> None:
    assert candidates("cpu") == [Device("cpu")]
    assert candidates("auto")[-1] == Device("cpu")
    for bad in ("gpu", "cuda:x", "cuda:-1", ""):
        with pytest.raises(DeviceUnavailable, match="unknown device"):
            candidates(bad)


def test_asking_for_cuda_without_its_runtime_says_what_to_install() -> None:
    if session.PROVIDERS["cuda"] in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    for name in ("cuda", "cuda:1", "tensorrt"):
        with pytest.raises(DeviceUnavailable, match=r"requirements/gpu\.txt"):
            candidates(name)


def listed_first(device: Device) -> tuple[str, dict[str, str]]:
    first = device.providers()[0]
    assert isinstance(first, tuple)
    return first


def test_device_options_reach_the_provider() -> None:
    device = Device("cuda", index=1, memory_mb=512)
    name, options = listed_first(device)
    assert name == "CUDAExecutionProvider"
    assert options == {
        "device_id": "1",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
        "gpu_mem_limit": str(512 << 20),
    }
    assert device.providers()[-1] == "CPUExecutionProvider"


def test_tensorrt_keeps_its_engines_where_it_is_told(tmp_path: Path) -> None:
    assert Device("tensorrt").providers()[0] == ("TensorrtExecutionProvider", {"device_id": "0"})
    _, options = listed_first(Device("tensorrt", engines=tmp_path))
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
