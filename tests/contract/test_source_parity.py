"""The served ONNX files of imported nets return what their source implementations return.

`models/source` holds probe images and the sources' outputs in the sources' own terms: PyPI's mtcnn, OpenCV's
YuNet and SFace on the published files, dlib. This test restates them in the terms of the served files, apart
from the importers, and needs neither a source nor TensorFlow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy import ndarray
from onnx import numpy_helper

from app.runtime.device import Device
from app.runtime.manifest import read_manifest
from app.runtime.session import OrtSession
from app.vision.spec import FusionSpec
from tests.sessions import MODELS, session

SOURCE = MODELS / "source"
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
Outputs = Mapping[str, ndarray]


def mtcnn(source: Outputs) -> dict[str, ndarray]:
    """The probability of a face out of two classes; five x and five y as x and y in turn."""
    served = {"offsets": source["offsets"], "score": source["score"][..., 1]}
    if "points" in source:
        served["points"] = np.stack([source["points"][:, :5], source["points"][:, 5:]], axis=2).reshape(
            -1, 10
        )
    return served


def yunet(source: Outputs) -> dict[str, ndarray]:
    """A score and the box's edges by cell, for images of 96 x 128."""
    served: dict[str, ndarray] = {}
    for stride in (8, 16, 32):
        grid = (-1, 96 // stride, 128 // stride)
        x, y, width, height = np.moveaxis(source[f"bbox_{stride}"], -1, 0)
        width, height = np.exp(width), np.exp(height)
        edges = [x - width / 2, y - height / 2, x + width / 2 - 1, y + height / 2 - 1]
        score = source[f"cls_{stride}"] ** 0.65 * source[f"obj_{stride}"] ** 0.35
        served[f"score{stride}"] = score.reshape(grid)
        served[f"offsets{stride}"] = np.stack(edges, axis=-1).reshape(*grid, 4)
    return served


def embedder(source: Outputs) -> dict[str, ndarray]:
    """Vectors of length 1, and their lengths before."""
    norms = np.linalg.norm(source["vectors"], axis=1, keepdims=True)
    return {"embedding": source["vectors"] / norms, "norm": norms}


def mesh(source: Outputs) -> dict[str, ndarray]:
    """Points in units of the crop's side, and the logit of the presence of a face."""
    return {"points": source["points"] / 192, "presence": source["presence"]}


@dataclass(frozen=True)
class Source:
    """A net's stored outputs, what they are in served terms, and how far a served file may be from them."""

    name: str
    served: Callable[[Outputs], dict[str, ndarray]]
    tolerance: float

    def read(self) -> tuple[ndarray, dict[str, ndarray]]:
        """The probe images, and the outputs in served terms."""
        with np.load(SOURCE / f"{self.name}.npz") as stored:
            return stored["images"], self.served({name: stored[name] for name in stored.files})


LEAST_SCORE, LEAST_YUNET_SCORE = 2e-3, 0.02
"""Scores below count as equal: ONNX Runtime's sigmoid is off by 1e-8 near 0, and YuNet's score has roots."""

# Measured: 2e-6 for MTCNN's nets, 1e-5 for YuNet's lowest scores. The embedders' weights are stored in half
# precision, which costs 4e-4 (SFace) and 1e-4 (dlib).
YUNET = Source("yunet", yunet, 3e-5)
PNET, RNET, ONET = (Source(f"mtcnn-{stage}", mtcnn, 1e-5) for stage in ("pnet", "rnet", "onet"))
SFACE, DLIB = Source("sface", embedder, 1e-3), Source("dlib", embedder, 3e-4)
MESH = Source("mesh", mesh, 3e-5)
SOURCES = {
    "cascade-pnet.onnx": YUNET,
    "cascade-rnet.onnx": RNET,
    "cascade-onet.onnx": ONET,
    "mtcnn-pnet.onnx": PNET,
    "mtcnn-rnet.onnx": RNET,
    "mtcnn-onet.onnx": ONET,
    "mtcnn_thorough-pnet.onnx": PNET,
    "mtcnn_thorough-rnet.onnx": RNET,
    "mtcnn_thorough-onet.onnx": ONET,
    "mesh.onnx": MESH,
    "mesh68.onnx": MESH,
    "sface.onnx": SFACE,
    "dlib.onnx": DLIB,
}


ONE_OF_EACH = (
    "cascade-pnet.onnx",
    "mtcnn-pnet.onnx",
    "mtcnn-rnet.onnx",
    "mtcnn-onet.onnx",
    "mesh.onnx",
    "sface.onnx",
    "dlib.onnx",
)


def differences(found: Outputs, expected: Outputs) -> dict[str, float]:
    """The largest difference by output, relative to 1 or to the expected value where that is larger."""
    assert set(found) == set(expected)
    out = {}
    for name, values in expected.items():
        assert found[name].shape == values.shape
        of_yunet = name.removeprefix("score").isdigit()
        low = LEAST_YUNET_SCORE if of_yunet else LEAST_SCORE if name == "score" else -np.inf
        off = np.abs(np.maximum(found[name], low) - np.maximum(values, low))
        out[name] = float((off / np.maximum(1, np.abs(values))).max())
    return out


def test_every_imported_file_has_a_source_and_every_source_is_replayed() -> None:
    files = [file.file for model in read_manifest(MODELS).models for file in model.files]
    specs = {file: session(file).spec for file in files}
    imported = {
        file
        for file, spec in specs.items()
        if not spec.source.startswith("trained here") and not isinstance(spec, FusionSpec)
    }
    assert imported == set(SOURCES)
    assert {path.stem for path in SOURCE.iterdir()} == {source.name for source in SOURCES.values()}


@pytest.mark.parametrize("file", SOURCES)
def test_a_served_file_returns_what_its_source_returns(file: str) -> None:
    source = SOURCES[file]
    images, expected = source.read()
    found = differences(session(file).run(images), expected)
    assert max(found.values()) <= source.tolerance, found
    assert all(np.ptp(values) > 0.01 for values in expected.values())


@pytest.mark.parametrize(
    ("source", "name"), [(YUNET, "score8"), (PNET, "score"), (RNET, "score"), (ONET, "score")]
)
def test_the_probe_images_show_faces_and_other_things(source: Source, name: str) -> None:
    scores = source.read()[1][name]
    best = scores.reshape(len(scores), -1).max(axis=1)
    assert best.max() > 0.9
    assert best.min() < 0.1


@pytest.mark.parametrize("file", ONE_OF_EACH)
def test_swapped_colours_are_noticed(file: str) -> None:
    source = SOURCES[file]
    images, expected = source.read()
    found = differences(session(file).run(np.ascontiguousarray(images[..., ::-1])), expected)
    assert max(found.values()) > 100 * source.tolerance


@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("file", ONE_OF_EACH)
def test_one_changed_weight_is_noticed(file: str, place: int) -> None:
    """The largest weight of the first or the last layer with another sign."""
    source, model = SOURCES[file], onnx.load(MODELS / file)
    images, expected = source.read()
    tensor = [t for t in model.graph.initializer if t.data_type in FLOATS and len(t.dims) > 1][place]
    weights = numpy_helper.to_array(tensor).copy()
    weights.flat[np.abs(weights).argmax()] *= -1
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    changed = OrtSession(Path(file), Device("cpu"), content=model.SerializeToString())
    assert max(differences(changed.run(images), expected).values()) > source.tolerance
