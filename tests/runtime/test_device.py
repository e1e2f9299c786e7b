"""Devices by name, their batch sizes, and the options that ONNX Runtime gets."""

import sys
from pathlib import Path

import onnxruntime as ort
import pytest

from app.errors import DeviceUnavailable
from app.pipeline import anchor_free, sliding_window
from app.runtime.device import PROVIDERS, Device, candidate_devices, preload_gpu_libraries


def test_cpu_batches_grow_with_smaller_pictures_and_never_vanish() -> None:
    cpu = Device("cpu")
    assert len(cpu.batch_sizes(24 * 24)) > len(cpu.batch_sizes(48 * 48)) > 1
    assert cpu.batch_sizes(10_000_000) == (1,)


def test_gpu_batches_are_few_and_bounded_by_pixels() -> None:
    gpu = Device("cuda")
    assert gpu.batch_sizes(24 * 24) == gpu.batch_sizes(150 * 150) == (1, 4, 16, 64)
    canvas, tile = sliding_window.tiling_policy(gpu), anchor_free.tiling_policy(gpu)
    assert gpu.batch_sizes(canvas.width * canvas.height) == (1, 4, 16)
    assert gpu.batch_sizes(tile.width * tile.height) == (1, 4)
    assert gpu.batch_sizes(100_000_000) == (1,)


def test_devices_by_name() -> None:
    assert candidate_devices("cpu") == [Device("cpu")]
    assert candidate_devices("auto")[-1] == Device("cpu")
    for bad in ("gpu", "cuda:x", "cuda:-1", ""):
        with pytest.raises(DeviceUnavailable, match="is unknown"):
            candidate_devices(bad)


def test_asking_for_cuda_without_its_runtime_says_what_to_install() -> None:
    if PROVIDERS["cuda"] in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    for name in ("cuda", "cuda:1", "tensorrt"):
        with pytest.raises(DeviceUnavailable, match=r"requirements/gpu\.txt"):
            candidate_devices(name)


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
    _, options = listed_first(Device("tensorrt", engine_cache=tmp_path))
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)


def test_complaints_about_gpu_libraries_stay_out_of_the_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def preload() -> None:
        sys.stdout.write("Failed to load libcublasLt.so.13\n")

    monkeypatch.setattr(ort, "preload_dlls", preload, raising=False)
    preload_gpu_libraries()
    assert capsys.readouterr() == ("", "Failed to load libcublasLt.so.13\n")
