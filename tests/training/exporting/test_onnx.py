"""Export to ONNX: parity with Keras, reproducible files, half precision, and layout."""

from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers

from app.runtime.device import Device
from app.runtime.manifest import sha256
from app.runtime.session import OrtSession
from app.vision.spec import EmbedderSpec
from tests.fakes import COMMON
from training.exporting.onnx import ParityError, export, serving_net, to_onnx

SPEC = EmbedderSpec(
    model="tiny",
    size=16,
    template="arcface",
    dimension=8,
    flip_average=False,
    **COMMON,
)


def tiny(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    vector = layers.Dense(8)(layers.Flatten()(x))
    return keras.Model(image, {"embedding": vector})


def test_an_exported_net_returns_what_keras_returns_and_has_its_spec_and_golden_file(tmp_path: Path) -> None:
    net = serving_net(tiny(), "embedding")
    worst = export(net, SPEC, tmp_path / "tiny.onnx", tmp_path / "golden" / "tiny.npz")
    assert worst < 2e-5
    session = OrtSession(tmp_path / "tiny.onnx", Device("cpu"))
    assert session.spec == SPEC
    with np.load(tmp_path / "golden" / "tiny.npz") as golden:
        vectors = session.run(golden["image"])["embedding"]
        assert vectors == pytest.approx(golden["embedding"], abs=1e-5)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_the_same_net_gives_the_same_file(tmp_path: Path) -> None:
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path in paths:
        export(serving_net(tiny(), "embedding"), SPEC, path, tmp_path / f"{path.stem}.npz")
    assert sha256(paths[0]) == sha256(paths[1])
    assert sha256(tmp_path / "a.npz") == sha256(tmp_path / "b.npz")


def test_a_net_beyond_the_tolerance_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"x\.onnx: ONNX differs from Keras by .*; the limit is 0\."):
        export(serving_net(tiny()), SPEC, tmp_path / "x.onnx", tmp_path / "x.npz", half=True, tolerance=0.0)
    assert list(tmp_path.iterdir()) == []


def test_a_net_without_named_outputs_is_refused() -> None:
    image = keras.Input((16, 16, 3))
    with pytest.raises(TypeError, match="dict of named outputs"):
        serving_net(keras.Model(image, layers.Flatten()(image)))


def test_half_precision_is_storage_alone() -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    net = keras.Model(image, {"embedding": layers.Dense(64)(layers.Flatten()(image))})
    single, half = (to_onnx(serving_net(net), half=h) for h in (False, True))
    assert half.ByteSize() < 0.6 * single.ByteSize()
    assert onnx.TensorProto.FLOAT16 in {t.data_type for t in half.graph.initializer}
    outputs = {out.type.tensor_type.elem_type for out in half.graph.output}
    assert outputs == {onnx.TensorProto.FLOAT}


def test_images_of_free_size_are_transposed_as_bytes() -> None:
    keras.utils.set_random_seed(0)
    free = keras.Input((None, None, 3))
    net = keras.Model(free, {"score": layers.Conv2D(4, 3, 2, padding="same")(free)})
    nodes = to_onnx(serving_net(net), half=False).graph.node
    assert [n.op_type for n in nodes][:2] == ["Transpose", "Cast"]
    assert nodes[0].input[0] == "image"


@pytest.mark.parametrize(("stride", "padded"), [(1, False), (2, False), (2, True)])
def test_a_first_convolution_reads_images_of_free_size_without_a_transposition(
    stride: int, padded: bool, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    free = keras.Input((None, None, 3))
    x = layers.ZeroPadding2D(1)(free) if padded else free
    net = serving_net(keras.Model(free, {"score": layers.Conv2D(4, 3, stride)(x)}))
    model = to_onnx(net, half=False)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds[:4] == ["Reshape", "Unsqueeze", "Cast", "Conv"]
    images = np.random.default_rng(0).integers(0, 256, (2, 21, 34, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (scores,) = session.run(["score"], {"image": images})
    np.testing.assert_allclose(scores, net(images)["score"], rtol=1e-5, atol=1e-4)


def enlarging(factor: int) -> keras.Model:
    """Return a net of free image size that adds enlarged features to features of twice the resolution."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    fine = layers.Conv2D(4, 3, 2, padding="same")(image)
    coarse = layers.Conv2D(4, 3, factor, padding="same", activation="relu")(fine)
    enlarged = layers.Add()([fine, layers.UpSampling2D(factor)(coarse)])
    return serving_net(keras.Model(image, {"score": layers.Conv2D(2, 1)(enlarged)}))


def test_features_of_free_size_are_enlarged_by_one_resize() -> None:
    net = enlarging(2)
    model = to_onnx(net, half=False)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Resize") == 1
    assert "Tile" not in kinds
    images = np.random.default_rng(0).integers(0, 256, (2, 24, 40, 3), np.uint8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {"image": images})
    np.testing.assert_allclose(found, net(images)["score"], rtol=1e-4, atol=1e-3)


def test_features_of_free_size_are_enlarged_by_a_factor_of_2_alone() -> None:
    with pytest.raises(ValueError, match="Only a factor of 2"):
        to_onnx(enlarging(3), half=False)
