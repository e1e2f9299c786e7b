"""Every file of `models/`: hash, spec, inputs and outputs, and the golden answers that Keras gave."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from app.runtime.manifest import FileEntry, ModelEntry, read_manifest, sha256
from app.runtime.precision import has_int8_instructions
from app.vision.points import COUNTS
from app.vision.spec import (
    TASK_OF_KIND,
    ComparedSpec,
    EmbedderSpec,
    FusionSpec,
    HeadSpec,
    LandmarkSpec,
    MeshSpec,
)
from tests.sessions import MODELS, graph, session

MANIFEST = read_manifest(MODELS)
FILES = [pytest.param(m, f, id=f.file) for m in MANIFEST.models for f in (*m.files, *m.int8)]


def test_the_manifest_and_the_folder_hold_the_same_files() -> None:
    listed = {f.file for m in MANIFEST.models for f in (*m.files, *m.int8)}
    assert {p.name for p in MODELS.glob("*.onnx")} == listed
    assert {p.stem for p in (MODELS / "golden").glob("*.npz")} == {Path(f).stem for f in listed}


def test_every_task_has_one_default() -> None:
    for task in ("detect", "landmarks", "embed"):
        assert [m.default for m in MANIFEST.models if m.task == task].count(True) == 1


def test_files_stay_within_what_a_clone_should_cost() -> None:
    sizes = [f.bytes for m in MANIFEST.models for f in (*m.files, *m.int8)]
    assert max(sizes) <= 45_000_000
    assert sum(sizes) <= 150_000_000


@pytest.mark.parametrize(("model", "file"), FILES)
def test_hash_size_and_spec(model: ModelEntry, file: FileEntry) -> None:
    path = MODELS / file.file
    assert sha256(path) == file.sha256
    assert path.stat().st_size == file.bytes
    spec = session(file.file).spec
    assert spec.model == model.name
    assert TASK_OF_KIND[spec.kind] == model.task
    assert spec.licence
    assert spec.source
    assert len(spec.source_sha256) == 64


@pytest.mark.parametrize(("model", "file"), FILES)
def test_input_is_uint8_nhwc_rgb_or_other_nets_vectors(model: ModelEntry, file: FileEntry) -> None:
    (given,) = graph(file.file).input
    spec = session(file.file).spec
    kind = given.type.tensor_type.elem_type
    dims = [d.dim_value or d.dim_param for d in given.type.tensor_type.shape.dim]
    match spec:
        case HeadSpec(dimension=dimension):
            assert (given.name, kind) == ("pair", onnx.TensorProto.FLOAT)
            assert dims == ["n", 2, dimension]
        case FusionSpec(inputs=inputs):
            assert (given.name, kind) == ("vectors", onnx.TensorProto.FLOAT)
            assert dims == ["n", inputs]
        case _:
            assert (given.name, kind) == ("image", onnx.TensorProto.UINT8)
            assert (dims[0], dims[3]) == ("n", 3)


def test_parts_are_embedders_of_the_manifest_before_what_is_made_of_them() -> None:
    names = [m.name for m in MANIFEST.models]
    dimensions = {
        m.name: session(m.files[0].file).spec.dimension  # type: ignore[union-attr]
        for m in MANIFEST.models
        if m.task == "embed"
    }
    for model in MANIFEST.models:
        if model.parts:
            spec = session(model.files[0].file).spec
            assert isinstance(spec, FusionSpec)
            assert spec.parts == model.parts
            assert sum(dimensions[part] for part in model.parts) == spec.inputs
            assert all(names.index(part) < names.index(model.name) for part in model.parts)
            free = [m for m in MANIFEST.models if m.name in model.parts]
            research = [session(m.files[0].file).spec.research_only for m in free]
            assert spec.research_only is any(research)


@pytest.mark.parametrize(("model", "file"), FILES)
def test_golden_answers(model: ModelEntry, file: FileEntry) -> None:
    if file in model.int8 and not has_int8_instructions():
        pytest.skip("without the instructions products of int8 saturate")
    net = session(file.file)
    with np.load(MODELS / "golden" / f"{Path(file.file).stem}.npz") as golden:
        (given,) = set(golden.files) - {"tolerance", *net.outputs}
        found = net.run(golden[given])
        assert set(found) == set(net.outputs)
        for name, values in found.items():
            assert values.shape == golden[name].shape
            assert np.abs(values - golden[name]).max() <= golden["tolerance"]
            assert np.ptp(golden[name]) > 0


@pytest.mark.parametrize(("model", "file"), FILES)
def test_outputs_are_what_the_spec_says(model: ModelEntry, file: FileEntry) -> None:
    net = session(file.file)
    spec = net.spec
    if isinstance(spec, EmbedderSpec):
        image = np.random.default_rng(0).integers(0, 255, (3, spec.size, spec.size, 3), dtype=np.uint8)
        vectors = net.run(image)["embedding"]
        assert vectors.shape == (3, spec.dimension)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-4)
    if isinstance(spec, ComparedSpec):
        assert spec.default_far in {c.far for c in spec.thresholds}
        assert [c.far for c in spec.thresholds] == sorted((c.far for c in spec.thresholds), reverse=True)
        assert [c.threshold for c in spec.thresholds] == sorted(c.threshold for c in spec.thresholds)
        assert (spec.probability is None) is (spec.metric == "probability")
    if isinstance(spec, FusionSpec):
        parts = np.random.default_rng(0).normal(size=(3, spec.inputs)).astype(np.float32)
        vectors = net.run(parts)["embedding"]
        assert vectors.shape == (3, spec.dimension)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-4)
    if isinstance(spec, HeadSpec):
        pairs = np.random.default_rng(0).uniform(size=(3, 2, spec.dimension)).astype(np.float32)
        probability = net.run(pairs)["probability"]
        assert probability.shape == (3, 1)
        assert ((probability >= 0) & (probability <= 1)).all()
        swapped = net.run(np.ascontiguousarray(pairs[:, ::-1]))["probability"]
        assert swapped == pytest.approx(probability, abs=1e-6)
    if isinstance(spec, MeshSpec):
        outputs = net.run(np.zeros((2, spec.size, spec.size, 3), np.uint8))
        assert outputs["points"].shape == (2, 3 * COUNTS["mesh468"])
        assert outputs["presence"].shape == (2, 1)
    if isinstance(spec, LandmarkSpec):
        image = np.zeros((2, spec.size, spec.size, 3), np.uint8)
        assert net.run(image)["points"].shape == (2, 2 * COUNTS[spec.scheme])


@pytest.mark.parametrize(("model", "file"), FILES)
def test_no_file_holds_training_operators(model: ModelEntry, file: FileEntry) -> None:
    operators = {node.op_type for node in graph(file.file).node}
    assert not operators & {
        "Dropout",
        "RandomUniform",
        "RandomNormal",
        "RandomUniformLike",
        "RandomNormalLike",
    }
