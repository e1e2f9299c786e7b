"""Parity of nets with random weights. The published weights: `tests/contract/test_source_parity.py`."""

from pathlib import Path
from typing import NoReturn

import keras
import numpy as np
import pytest
from keras import layers
from numpy import ndarray

from training.importers import dlib_resnet, mtcnn, parity, sface, yunet
from training.importers.parity import Outputs, Parity, measure
from training.models import mtcnn as nets
from training.models import mtcnn_serving
from training.models import yunet as yunet_model

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the libraries of the sources unavailable, and the folder of stored outputs empty."""

    def missing(*args: object) -> NoReturn:
        raise ImportError

    monkeypatch.setattr(parity, "FOLDER", tmp_path)
    for importer in (mtcnn, yunet, sface, dlib_resnet):
        monkeypatch.setattr(importer, "library", missing)


def measured(error: float) -> Parity:
    """Return the parity of a net whose outputs differ from the stored ones by `error`."""
    parity.write("net", IMAGES, {"out": np.ones(3)})
    return measure("net", "it", lambda images: {"out": np.ones(3)}, difference(1 + error))


def difference(output: float):  # type: ignore[no-untyped-def] # a fake of an importer's function
    return lambda images, expected: float(np.abs(expected["out"] - output).max())


def test_stored_outputs_are_read_back() -> None:
    parity.write("net", IMAGES, {"out": np.arange(3), "other": np.ones((2, 2))})
    images, outputs = parity.read("net")
    np.testing.assert_array_equal(images, IMAGES)
    assert {name: value.tolist() for name, value in outputs.items()} == {
        "out": [0, 1, 2],
        "other": [[1, 1]] * 2,
    }
    assert all(value.dtype == np.float32 for value in outputs.values())


def test_missing_outputs_raise_an_error_with_the_command() -> None:
    with pytest.raises(parity.OutputsMissing, match=r"training\.importers\.source_outputs net"):
        parity.read("net")


def test_the_difference_is_compared_with_the_limit() -> None:
    assert measured(0.05).difference == pytest.approx(0.05, rel=1e-4)
    assert measured(0.05).limit == parity.LIMIT == 2e-5
    assert Parity("it", 0.05, 0.1).within_limit
    assert not Parity("it", 0.11, 0.1).within_limit
    assert not Parity("it", float("nan"), 0.1).within_limit
    assert str(Parity("it 1.0", 0.25, 0.1)) == "differs from it 1.0 by up to 0.25, limit 0.1"


def test_an_installed_library_is_compared_too() -> None:
    parity.write("net", IMAGES, {"out": np.ones(3)})
    result = measure("net", "it", lambda images: {"out": np.full(3, 1.5)}, difference(1))
    assert (result.source, result.difference) == ("it", 0.5)
    result = measure("net", "it", mtcnn.library, difference(1))  # type: ignore[arg-type] # it raises
    assert (result.source, result.difference) == ("the stored outputs of it", 0)


def randomised(net: keras.Model) -> keras.Model:
    rng = np.random.default_rng(1)
    net.set_weights(
        [rng.normal(0, 0.5 / max(1, np.prod(w.shape[:-1])) ** 0.5, w.shape) for w in net.get_weights()]
    )
    return net


def changed(net: keras.Model) -> keras.Model:
    """Return the net with the sign of the largest weight of its first layer changed."""
    first, *others = net.get_weights()
    first.flat[np.abs(first).argmax()] *= -1
    net.set_weights([first, *others])
    return net


@pytest.mark.parametrize("stage", ["pnet", "rnet", "onet"])
def test_mtcnns_outputs_are_converted_to_the_served_ones(stage: str, tmp_path: Path) -> None:
    plain = randomised({"pnet": nets.pnet, "rnet": nets.rnet, "onet": nets.onet}[stage]())
    images = IMAGES[:, : plain.input_shape[1] or 48, : plain.input_shape[2] or 48]
    values = [np.asarray(value) for value in plain((images - nets.MEAN) * nets.SCALE)]
    names = ["offsets", "points", "score"] if len(values) == 3 else ["offsets", "score"]
    outputs = dict(zip(names, values, strict=True))
    parity.write(f"mtcnn-{stage}", images, outputs)
    served = mtcnn_serving.serve(plain)
    assert mtcnn.parity(stage, served, tmp_path).within_limit
    for name in names:
        parity.write(f"mtcnn-{stage}", images, outputs | {name: outputs[name][..., ::-1]})
        assert not mtcnn.parity(stage, served, tmp_path).within_limit
    parity.write(f"mtcnn-{stage}", images, outputs)
    assert not mtcnn.parity(stage, changed(served), tmp_path).within_limit


def test_yunets_outputs_are_converted_to_the_served_ones(tmp_path: Path) -> None:
    net, images = yunet_model.yunet(), IMAGES[:, :32, :32]
    maps = {name: np.asarray(value) for name, value in net(images.astype(np.float32)).items()}
    outputs: Outputs = {}
    for stride in yunet_model.STRIDES:
        for head in ("cls", "obj"):
            outputs[f"{head}_{stride}"] = 1 / (1 + np.exp(-maps[f"{head}{stride}"].reshape(2, -1, 1)))
        outputs[f"bbox_{stride}"] = maps[f"bbox{stride}"].reshape(2, -1, 4)
    parity.write("yunet", images, outputs)
    served = yunet_model.serve(net)
    assert yunet.parity(served, tmp_path).within_limit
    for name, value in outputs.items():
        parity.write("yunet", images, outputs | {name: 1.01 * value + 0.001})
        assert not yunet.parity(served, tmp_path).within_limit
    parity.write("yunet", images, outputs)
    kernel, bias = net.get_layer("obj32_depth").get_weights()
    net.get_layer("obj32_depth").set_weights([kernel, bias + 0.01])
    assert not yunet.parity(served, tmp_path).within_limit


@pytest.mark.parametrize(("name", "importer"), [("sface", sface), ("dlib", dlib_resnet)])
def test_the_difference_of_vectors_is_relative_to_their_length(name: str, importer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] # a module
    image = keras.Input((48, 48, 3))
    net = keras.Model(image, {"embedding": layers.GlobalAveragePooling2D()(image)})
    vectors: ndarray = IMAGES.astype(np.float32).mean(axis=(1, 2))
    parity.write(name, IMAGES, {"vectors": vectors})
    assert importer.parity(net, tmp_path).within_limit
    parity.write(name, IMAGES, {"vectors": vectors * np.float32(1.01)})
    result = importer.parity(net, tmp_path)
    assert not result.within_limit
    assert result.difference == pytest.approx(0.01 / 1.01 / 3**0.5, rel=0.1)
