"""Activation ranges of a float net, measured on aligned faces, and the int8 file that is made of them.

`python -m training.measure_ranges` writes `models/ranges/<model>.npz`: the ranges of the tensors that
`training.exporting.int8` quantises, and the cosines between int8 and float vectors on other faces. The images
cannot be redistributed; with these numbers `make models` makes the same int8 file without them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from jaxtyping import Float32, UInt8
from numpy import ndarray

from app.runtime.device import Device
from app.runtime.manifest import int8_name
from app.runtime.session import OrtSession
from app.vision.spec import COSINE_KEY, METADATA_KEY, MIN_COSINE, FloatCosine, parse
from training.exporting.float_graph import FloatGraph
from training.exporting.int8 import Range, Ranges, quantise

TOLERANCE = 5e-3
"""Maximum difference of a component of a golden vector. A rounding to another step moves it by about 1e-3."""

_BATCH = 16
_COSINE, _SOURCE = "cosine", "source_sha256"

Crops = UInt8[ndarray, "n h w 3"]


class RangesMissing(ValueError):
    """The ranges of a model are missing, those of other weights, or its int8 file is too far from float."""


@dataclass(frozen=True)
class MeasuredRanges:
    """The ranges of a net, and how near its int8 file comes to it.

    Attributes:
        source_sha256: sha256 of the published weights, as in the spec of the float file.
        ranges: the ranges by the name of the tensor in the float file.
        cosine: the cosines between int8 and float vectors.
    """

    source_sha256: str
    ranges: Ranges
    cosine: FloatCosine


def ranges_path(models: Path, file: str) -> Path:
    """Return the path of the ranges of an ONNX file."""
    return models / "ranges" / f"{Path(file).stem}.npz"


def read(path: Path) -> MeasuredRanges:
    """Return stored ranges.

    Raises:
        RangesMissing: the file is missing.
    """
    if not path.exists():
        command = f"python -m training.measure_ranges {path.stem} --source SOURCE --compare OTHERS"
        raise RangesMissing(f"{path} is missing. Write it with: {command}")
    with np.load(path) as stored:
        ranges = {name: Range(*stored[name]) for name in stored.files if name not in {_COSINE, _SOURCE}}
        cosine = FloatCosine.model_validate_json(str(stored[_COSINE]))
        return MeasuredRanges(str(stored[_SOURCE]), ranges, cosine)


def write(path: Path, measured: MeasuredRanges) -> None:
    """Store ranges."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.stack([r.low, r.high, r.mean]) for name, r in measured.ranges.items()}
    texts = {_COSINE: np.array(measured.cosine.model_dump_json()), _SOURCE: np.array(measured.source_sha256)}
    np.savez_compressed(path, allow_pickle=False, **texts, **arrays)


def measure(path: Path, ranged: Crops, compared: Crops, measured_on: str) -> MeasuredRanges:
    """Measure the ranges of an embedder, and the cosines of the int8 net that they give.

    Args:
        path: the float file.
        ranged: aligned faces for the ranges; their mirror images are used too.
        compared: aligned faces of other people for the cosines.
        measured_on: name of these faces.

    Returns:
        The ranges and the cosines.
    """
    model = onnx.load(path)
    ranges = ranges_of(model, ranged)
    int8 = quantise(model, ranges).SerializeToString(deterministic=True)
    a, b = (vectors(OrtSession(path, Device("cpu"), content=content), compared) for content in (None, int8))
    values = (a.astype(np.float64) * b).sum(axis=1)
    cosine = FloatCosine(
        measured_on=measured_on,
        mean=round(float(values.mean()), 5),
        percentile_1=round(float(np.percentile(values, 1)), 5),
        minimum=round(float(values.min()), 5),
    )
    spec = parse({entry.key: entry.value for entry in model.metadata_props}[METADATA_KEY])
    return MeasuredRanges(spec.source_sha256, ranges, cosine)


def vectors(session: OrtSession, crops: Crops) -> Float32[ndarray, "n d"]:
    """Return the embeddings of aligned faces."""
    return np.concatenate([session.run(part)["embedding"] for part in _batches(crops)])


def make_int8(models: Path, file: str) -> tuple[Path, FloatCosine]:
    """Write the int8 file of a float file and its golden file, which has the float file's golden images.

    The result depends on the float file and its stored ranges only.

    Args:
        models: the model folder.
        file: name of the float file.

    Returns:
        The path of the int8 file, and its cosines to the float file.

    Raises:
        RangesMissing: the ranges are missing or those of other weights, or the mean cosine is too low.
    """
    stored = ranges_path(models, file)
    measured = read(stored)
    model = onnx.load(models / file)
    spec = parse({entry.key: entry.value for entry in model.metadata_props}[METADATA_KEY])
    if measured.source_sha256 != spec.source_sha256:
        raise RangesMissing(f"{stored} has the ranges of other weights than {file}. Measure them again.")
    if measured.cosine.mean < MIN_COSINE:
        raise RangesMissing(
            f"{stored}: the mean cosine of int8 to float vectors is {measured.cosine.mean}; the minimum is "
            f"{MIN_COSINE}. Nothing was written."
        )
    int8 = quantise(model, measured.ranges)
    int8.metadata_props.add(key=COSINE_KEY, value=measured.cosine.model_dump_json())
    path = models / int8_name(file)
    path.write_bytes(int8.SerializeToString(deterministic=True))
    golden = models / "golden"
    with np.load(golden / f"{Path(file).stem}.npz") as answers:
        images = answers["image"]
    found = OrtSession(path, Device("cpu", threads=1)).run(images)
    np.savez_compressed(
        golden / f"{path.stem}.npz",
        allow_pickle=False,
        image=images,
        tolerance=np.float32(TOLERANCE),
        **found,
    )
    return path, measured.cosine


def ranges_of(model: onnx.ModelProto, crops: Crops) -> Ranges:
    """Return the ranges of the tensors that are quantised, for aligned faces and their mirror images."""
    names = FloatGraph(model).observed()
    tapped = onnx.ModelProto.FromString(model.SerializeToString())
    for name in names:
        tapped.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = OrtSession(Path("tapped.onnx"), Device("cpu"), content=tapped.SerializeToString())
    sides: dict[str, list[list[ndarray]]] = {name: [] for name in names}
    for part in _batches(crops):
        outputs = session.run(np.concatenate([part, part[:, :, ::-1]]))
        for name, side in sides.items():
            maps, axes = outputs[name], (0, 2, 3)
            side.append([maps.min(axis=axes), maps.max(axis=axes), maps.mean(axis=axes)])
    weights = [len(part) for part in _batches(crops)]
    ranges = {}
    for name, rows in sides.items():
        low, high, mean = (np.stack(side) for side in zip(*rows, strict=True))
        ranges[name] = Range(
            low.min(axis=0), high.max(axis=0), np.average(mean, axis=0, weights=weights).astype(np.float32)
        )
    return ranges


def _batches(crops: Crops) -> Iterator[Crops]:
    return (crops[i : i + _BATCH] for i in range(0, len(crops), _BATCH))
