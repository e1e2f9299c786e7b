"""Facts about the machine, with a scripted driver."""

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import DeviceUnavailable
from app.runtime.device import Device
from benchmarks.gpu import host


class Library:
    """A library of NVIDIA whose functions return fixed values."""

    def __init__(self, name: str) -> None:
        if name not in ("libcuda.so.1", "libcudart.so.13", "libcudnn.so.9"):
            raise OSError(f"{name}: cannot open shared object file")

    def cuInit(self, flags: int) -> int:
        return 0

    def cudaRuntimeGetVersion(self, version: Any) -> int:
        version._obj.value = 13010
        return 0

    @property
    def cudnnGetVersion(self) -> Any:
        def get() -> int:
            return 92804

        return get


@pytest.fixture
def nvidia(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs."""
    names = ["NVIDIA H100 80GB HBM3", "NVIDIA H200"]
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda handle: names[handle],
        nvmlSystemGetDriverVersion=lambda: "580.82.07",
        nvmlSystemGetCudaDriverVersion=lambda: 13000,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(host, "preload_gpu_libraries", lambda: None)


@pytest.mark.usefixtures("nvidia")
def test_the_facts_of_a_gpu() -> None:
    facts = host.facts(Device("cuda", index=1))
    assert facts["GPU"] == "NVIDIA H200"
    assert facts["driver"] == "580.82.07, for CUDA 13.0"
    assert facts["CUDA"].startswith("13.1; ONNX Runtime was built with ")
    assert facts["cuDNN"] == "9.28.4"
    assert facts["CPU"].endswith(" cores")


def test_facts_that_nobody_knows_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.setattr(host, "preload_gpu_libraries", lambda: None)
    facts = host.facts(Device("cuda"))
    assert (facts["GPU"], facts["cuDNN"]) == ("unknown", "unknown")


def test_a_cpu_has_no_facts_of_a_gpu() -> None:
    assert set(host.facts(Device("cpu"))) == {"CPU", "ONNX Runtime"}


def test_no_driver_and_no_gpu_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "candidate_devices", lambda _: [Device("cuda")])
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(cuInit=lambda flags: 100))
    with pytest.raises(DeviceUnavailable, match="cuInit returned 100"):
        host.require("cuda")

    def missing(name: str) -> ctypes.CDLL:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(DeviceUnavailable, match=r"libcuda\.so\.1 cannot be loaded"):
        host.require("cuda")
