"""Facts about the machine of a record, as NVIDIA's driver, its libraries and ONNX Runtime report them."""

import ctypes
from importlib import import_module

import onnxruntime as ort

from app.errors import DeviceUnavailable
from app.runtime.device import Device, candidate_devices, preload_gpu_libraries, runtime_version
from app.runtime.manifest import models_for
from app.runtime.model_store import load
from benchmarks import report
from benchmarks.gpu.plan import MODELS

UNKNOWN = "unknown"


def require(setting: str) -> None:
    """Check that the default detector runs on a device.

    Args:
        setting: `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceUnavailable: the device cannot run it.
        BadModel: the folder of the models is incomplete.
    """
    (device,) = candidate_devices(setting)
    if not device.on_cpu:
        _require_gpu()
    load(MODELS, setting, models_for(MODELS, {"detect": None}))


def _require_gpu() -> None:
    """Ask the driver for a GPU. ONNX Runtime would say in many lines that there is none.

    Raises:
        DeviceUnavailable: there is no driver, or it has no GPU.
    """
    try:
        status = ctypes.CDLL("libcuda.so.1").cuInit(0)
    except (OSError, AttributeError) as error:
        raise DeviceUnavailable(
            "There is no NVIDIA driver here: libcuda.so.1 cannot be loaded. Run this on a machine with an "
            "NVIDIA GPU, or try the sections with --device cpu --small."
        ) from error
    if status:
        raise DeviceUnavailable(
            f"The NVIDIA driver has no usable GPU: cuInit returned {status}. See nvidia-smi."
        )


def facts(device: Device) -> dict[str, str]:
    """Return the facts that a record states, by name.

    Args:
        device: the device of the record.
    """
    common = {"CPU": report.machine(), "ONNX Runtime": runtime_version()}
    if device.on_cpu:
        return common
    preload_gpu_libraries()
    name, driver, driver_cuda = _driver(device.index)
    return {
        "GPU": name,
        "driver": f"{driver}, for CUDA {driver_cuda}",
        "CUDA": _cuda(),
        "cuDNN": _cudnn(),
        **common,
    }


def _driver(index: int) -> tuple[str, str, str]:
    """Return the name of the GPU, the version of the driver, and the newest CUDA that it supports."""
    try:
        nvml = import_module("pynvml")
        nvml.nvmlInit()
        name = nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetHandleByIndex(index))
        return (
            str(name),
            str(nvml.nvmlSystemGetDriverVersion()),
            _of_cuda(nvml.nvmlSystemGetCudaDriverVersion()),
        )
    except Exception:  # facts of a record are not worth its end; NVMLError exists only if the import succeeds
        return UNKNOWN, UNKNOWN, UNKNOWN


def _cuda() -> str:
    built = f"ONNX Runtime was built with {getattr(ort, 'cuda_version', '') or UNKNOWN}"
    version = ctypes.c_int()
    try:
        # The library is loaded already, under this name.
        ctypes.CDLL("libcudart.so.13").cudaRuntimeGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return f"{UNKNOWN}; {built}"
    return f"{_of_cuda(version.value)}; {built}"


def _cudnn() -> str:
    try:
        get = ctypes.CDLL("libcudnn.so.9").cudnnGetVersion
    except (OSError, AttributeError):
        return UNKNOWN
    get.restype = ctypes.c_size_t
    version = int(get())
    return f"{version // 10_000}.{version // 100 % 100}.{version % 100}"


def _of_cuda(version: int) -> str:
    """Return a version of CUDA, for example 13.0 for 13000."""
    return f"{version // 1000}.{version % 1000 // 10}"
