"""Section: what TF32 and float16, which the service does not use, gain in time and cost in accuracy."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from app.runtime.device import PROVIDERS, Device, Provider
from app.runtime.manifest import models_for
from app.runtime.model_store import load
from app.runtime.session import OrtSession
from benchmarks.gpu.agreement import compare_net
from benchmarks.gpu.inputs import Inputs, inputs_of, rgb_photos
from benchmarks.gpu.plan import MODELS, Plan, Result, Table

CALLS = 30
_WARM_UP = 3

_NO_ONNX = "float16 is not measured: the package onnx, which converts the nets, is not installed."


@dataclass(frozen=True)
class Tf32Device(Device):
    """The same device as the service uses, but with TF32."""

    def providers(self) -> list[Provider]:
        """Return the list of execution providers for ONNX Runtime; see `Device.providers`."""
        return [
            (p[0], {**p[1], "use_tf32": "1"}) if isinstance(p, tuple) and p[0] == PROVIDERS["cuda"] else p
            for p in super().providers()
        ]


def measure(plan: Plan) -> Iterator[Result]:
    """Measure the nets of the default models in each precision.

    Args:
        plan: the plan.

    Yields:
        The results, after each net.
    """
    names = models_for(MODELS, {"detect": None, "landmarks": None, "embed": None})
    models = load(MODELS, plan.setting, names)
    inputs = inputs_of(models, rgb_photos(plan.small))
    heads = ["net", "precision", "ms, batch of 1", "largest batch", "ms", "images/s", "difference"]
    rows: list[list[object]] = []
    result = Result([Table(heads, rows)], [_note(plan)])
    for model in models:
        for stage, file in zip(model.sessions, model.files, strict=True):
            if not plan.seconds_left:
                yield result.cut(f"{model.entry.name} {stage}")
                return
            path, given = model.entry.path_of(file), inputs[model.entry.name, stage]
            for way, (device, content) in ways(path, plan.device, result.notes).items():
                try:
                    row = _row(OrtSession(path, device, content=content), path, given, plan.small)
                except Exception as error:  # a net that does not run in a precision is a finding, not an end
                    result.notes.append(f"{file.file} does not run in {way}: {' '.join(str(error).split())}.")
                    row = [None] * 5
                rows.append([f"{model.entry.name} {stage}", way, *row])
            yield result


def ways(path: Path, device: Device, notes: list[str]) -> dict[str, tuple[Device, bytes | None]]:
    """Return the device and, if it is not that of the file, the net for each precision.

    Args:
        path: the ONNX file.
        device: the device.
        notes: receives a sentence if a precision is left out.
    """
    found: dict[str, tuple[Device, bytes | None]] = {"float32": (device, None)}
    if not device.on_cpu:
        found["TF32"] = Tf32Device(**asdict(device)), None
    try:
        found["float16"] = device, half(path)
    except ImportError:
        if _NO_ONNX not in notes:
            notes.append(_NO_ONNX)
    except Exception as error:  # the converter raises exceptions of many types
        notes.append(f"{path.name} cannot be converted to float16: {' '.join(str(error).split())}.")
    return found


def half(path: Path) -> bytes:
    """Return a net whose weights and calculations are float16, with inputs and outputs as they are.

    Args:
        path: the ONNX file.

    Raises:
        ImportError: the package onnx is not installed.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(onnx.load(path), keep_io_types=True).SerializeToString()


def _row(session: OrtSession, path: Path, given: Inputs, small: bool) -> list[object]:
    images = given.photographs[0]
    largest = session.batch_sizes(images)[-1]
    one, many = (_milliseconds(session, images, size, 3 if small else CALLS) for size in (1, largest))
    photos = Inputs(given.photographs[: 1 if small else None])
    differences = compare_net(path.stem, session, OrtSession(path, Device("cpu")), photos)
    return [one, largest, many, 1e3 * largest / many, max(difference.share for difference in differences)]


def _milliseconds(session: OrtSession, images: ndarray, size: int, calls: int) -> float:
    """Return the median time of a call with a batch of a size."""
    batch = np.resize(images, (size, *images.shape[1:]))
    took = []
    for _ in range(_WARM_UP + calls):
        begun = time.perf_counter()
        session.infer(batch, size)
        took.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(took[_WARM_UP:])


def _note(plan: Plan) -> str:
    used = "float32 without TF32" if not plan.device.on_cpu else "float32 here, or int8 with FACE_PRECISION"
    return (
        f"The service runs {used}. The others are experiments: TF32 is an option of ONNX Runtime for NVIDIA "
        "GPUs, and its converter makes the float16 nets. Times are medians and include the transfers of "
        "input and output. The difference from float32 on the CPU is a share of the greatest value of an "
        "output, for the inputs of photos."
    )
