"""The int8 files of the embedders: how near their vectors are to those of the float files."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float32
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.runtime import model_store
from app.runtime.manifest import ModelEntry, int8_name, read_manifest, sha256
from app.runtime.model_store import LoadOptions
from app.runtime.precision import Precision, has_int8_instructions
from app.runtime.timing import Timing
from app.service.model_info import ModelInfo
from app.vision.pyramid import ImagePyramid
from app.vision.spec import MIN_COSINE
from tests.sessions import MODELS, graph, session
from training.data.datasets.images import read_image
from training.exporting.activation_ranges import make_int8, ranges_path, read

INT8 = [pytest.param(m, id=m.name) for m in read_manifest(MODELS).models if m.int8]
PHOTOS = sorted(path for path in Path("tests/photos").iterdir() if path.suffix in {".jpg", ".png"})

pytestmark = pytest.mark.skipif(
    not has_int8_instructions(), reason="without the instructions products of int8 saturate"
)


@cache
def analyzer(precision: Precision) -> Analyzer:
    """The default models in a precision."""
    names = frozenset({"cascade", "fused"})
    return Analyzer(model_store.load(MODELS, "cpu", names, LoadOptions(precision=precision)))


def vectors(precision: Precision, model: str) -> Float32[ndarray, "n d"]:
    """The embeddings of all faces of the test photos."""
    owner = analyzer(precision)
    rows = []
    for path in PHOTOS:
        picture = ImagePyramid(read_image(path))
        faces = analyzer("float").detector(None).detect(picture, DetectOptions(), Timing())
        points = owner.align(picture, faces.points, owner.embedder(model), Timing())
        rows.append(owner.embedder(model)(picture, points))
    return np.concatenate(rows)


def cosines(a: ndarray, b: ndarray) -> ndarray:
    return (a.astype(np.float64) * b).sum(axis=1)


@pytest.mark.parametrize("model", ["sface", "dlib", "fused"])
def test_vectors_of_photos_can_be_compared_with_float_vectors(model: str) -> None:
    values = cosines(vectors("float", model), vectors("int8", model))
    assert len(values) >= 5
    assert MIN_COSINE <= values.mean() < 1 - 1e-6
    assert values.min() >= 0.998


@pytest.mark.parametrize("model", INT8)
def test_the_stated_cosine_holds_on_the_probe_faces(model: ModelEntry) -> None:
    (file,) = model.int8
    stated = session(file.file).cosine
    assert stated is not None
    assert stated.mean >= MIN_COSINE
    with np.load(MODELS / "source" / f"{model.name}.npz") as probe:
        faces = probe["images"][:3]  # the others are no faces
    both = (session(name).run(faces)["embedding"] for name in (model.files[0].file, file.file))
    assert cosines(*both).min() >= stated.percentile_1


@pytest.mark.parametrize("model", INT8)
def test_a_batch_gives_the_vectors_of_single_crops(model: ModelEntry) -> None:
    net = session(model.int8[0].file)
    with np.load(MODELS / "source" / f"{model.name}.npz") as probe:
        images = probe["images"]
    (together,) = net.session.run(["embedding"], {"image": images})
    singles = np.concatenate([net.infer(image[None], 1)[0] for image in images])
    assert np.abs(together - singles).max() <= 1e-3


@pytest.mark.parametrize("model", INT8)
def test_the_layers_run_in_int8(model: ModelEntry) -> None:
    (float_file,) = model.files
    operators = [node.op_type for node in graph(model.int8[0].file).node]
    assert operators.count("QuantizeLinear") >= 12
    assert model.int8[0].bytes < 0.6 * float_file.bytes
    assert model.int8[0].file == int8_name(float_file.file)


@pytest.mark.parametrize("model", INT8)
def test_the_file_is_that_of_the_float_file_and_its_ranges(model: ModelEntry, tmp_path: Path) -> None:
    (file,) = model.files
    for name in (file.file, f"golden/{model.name}.npz", str(ranges_path(Path(), file.file))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to((MODELS / name).resolve())
    path, cosine = make_int8(tmp_path, file.file)
    assert sha256(path) == model.int8[0].sha256
    assert cosine == read(ranges_path(MODELS, file.file)).cosine == session(path.name).cosine


@pytest.mark.parametrize("name", ["cascade", "sface", "dlib", "fused"])
def test_a_model_has_the_same_sha256_in_both_precisions(name: str) -> None:
    infos = []
    for precision in ("float", "int8"):
        owner = analyzer(precision)
        model = next(m for m in owner.models if m.entry.name == name)
        infos.append(ModelInfo.of(model, owner))
    assert infos[0].sha256 == infos[1].sha256
    assert [info.precision for info in infos] == ["float", "float" if name == "cascade" else "int8"]
    assert (infos[0].files == infos[1].files) is (name in {"cascade", "fused"})
    assert all("-int8" in file.file for file in infos[1].files) is (name in {"sface", "dlib"})
