"""Parity on nets of made-up weights. Real ones: `make models`, `tests/contract/test_source_parity.py`."""

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
    """No source's library is there, and nothing is stored yet."""

    def missing(*given: object) -> NoReturn:
        raise ImportError

    monkeypatch.setattr(parity, "FOLDER", tmp_path)
    for importer in (mtcnn, yunet, sface, dlib_resnet):
        monkeypatch.setattr(importer, "library", missing)


def off_by(value: float) -> float:
    """The difference that `measure` finds of a net that is off by the value from stored outputs of 1."""
    parity.write("net", IMAGES, {"out": np.ones(3)})
    return measure("net", "it", lambda images: {"out": np.ones(3)}, difference(1 + value), 0.1).difference


def difference(found: float):  # type: ignore[no-untyped-def] # stands in for an importer's
    return lambda images, expected: float(np.abs(expected["out"] - found).max())


def test_outputs_come_back_as_they_were_stored() -> None:
    parity.write("net", IMAGES, {"out": np.arange(3), "other": np.ones((2, 2))})
    images, outputs = parity.read("net")
    np.testing.assert_array_equal(images, IMAGES)
    assert {name: value.tolist() for name, value in outputs.items()} == {
        "out": [0, 1, 2],
        "other": [[1, 1]] * 2,
    }
    assert all(value.dtype == np.float32 for value in outputs.values())


def test_missing_outputs_are_an_error_that_names_the_command() -> None:
    with pytest.raises(parity.OutputsMissing, match="source_outputs net writes it"):
        parity.read("net")


def test_the_difference_is_held_against_the_limit() -> None:
    assert off_by(0.05) == pytest.approx(0.05, rel=1e-4)
    assert Parity("it", 0.05, 0.1).kept
    assert not Parity("it", 0.11, 0.1).kept
    assert not Parity("it", float("nan"), 0.1).kept
    assert str(Parity("it 1.0", 0.25, 0.1)) == "differs from it 1.0 by up to 0.25, limit 0.1"


def test_a_library_that_is_there_is_asked_beside_what_is_stored() -> None:
    parity.write("net", IMAGES, {"out": np.ones(3)})
    found = measure("net", "it", lambda images: {"out": np.full(3, 1.5)}, difference(1), 0.1)
    assert (found.source, found.difference) == ("it", 0.5)
    found = measure("net", "it", mtcnn.library, difference(1), 0.1)  # type: ignore[arg-type] # it raises
    assert (found.source, found.difference) == ("the stored outputs of it", 0)


def randomised(net: keras.Model) -> keras.Model:
    rng = np.random.default_rng(1)
    net.set_weights(
        [rng.normal(0, 0.5 / max(1, np.prod(w.shape[:-1])) ** 0.5, w.shape) for w in net.get_weights()]
    )
    return net


def changed(net: keras.Model) -> keras.Model:
    """The net with another sign of its largest first weight."""
    first, *others = net.get_weights()
    first.flat[np.abs(first).argmax()] *= -1
    net.set_weights([first, *others])
    return net


@pytest.mark.parametrize("stage", ["pnet", "rnet", "onet"])
def test_mtcnns_outputs_are_restated(stage: str, tmp_path: Path) -> None:
    plain = randomised({"pnet": nets.pnet, "rnet": nets.rnet, "onet": nets.onet}[stage]())
    images = IMAGES[:, : plain.input_shape[1] or 48, : plain.input_shape[2] or 48]
    values = [np.asarray(value) for value in plain((images - nets.MEAN) * nets.SCALE)]
    names = ["offsets", "points", "score"] if len(values) == 3 else ["offsets", "score"]
    outputs = dict(zip(names, values, strict=True))
    parity.write(f"mtcnn-{stage}", images, outputs)
    served = mtcnn_serving.serve(plain)
    assert mtcnn.parity(stage, served, tmp_path).kept
    for name in names:
        parity.write(f"mtcnn-{stage}", images, outputs | {name: outputs[name][..., ::-1]})
        assert not mtcnn.parity(stage, served, tmp_path).kept
    parity.write(f"mtcnn-{stage}", images, outputs)
    assert not mtcnn.parity(stage, changed(served), tmp_path).kept


def test_yunets_outputs_are_restated(tmp_path: Path) -> None:
    net, images = yunet_model.yunet(), IMAGES[:, :32, :32]
    maps = {name: np.asarray(value) for name, value in net(images.astype(np.float32)).items()}
    outputs: Outputs = {}
    for stride in yunet_model.STRIDES:
        for head in ("cls", "obj"):
            outputs[f"{head}_{stride}"] = 1 / (1 + np.exp(-maps[f"{head}{stride}"].reshape(2, -1, 1)))
        outputs[f"bbox_{stride}"] = maps[f"bbox{stride}"].reshape(2, -1, 4)
    parity.write("yunet", images, outputs)
    served = yunet_model.serve(net)
    assert yunet.parity(served, tmp_path).kept
    for name, value in outputs.items():
        parity.write("yunet", images, outputs | {name: 1.01 * value + 0.001})
        assert not yunet.parity(served, tmp_path).kept
    parity.write("yunet", images, outputs)
    kernel, bias = net.get_layer("obj32_depth").get_weights()
    net.get_layer("obj32_depth").set_weights([kernel, bias + 0.01])
    assert not yunet.parity(served, tmp_path).kept


@pytest.mark.parametrize(("name", "importer"), [("sface", sface), ("dlib", dlib_resnet)])
def test_vectors_differ_relative_to_their_length(name: str, importer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] # a module
    image = keras.Input((48, 48, 3))
    net = keras.Model(image, {"embedding": layers.GlobalAveragePooling2D()(image)})
    vectors: ndarray = IMAGES.astype(np.float32).mean(axis=(1, 2))
    parity.write(name, IMAGES, {"vectors": vectors})
    assert importer.parity(net, tmp_path).kept
    parity.write(name, IMAGES, {"vectors": vectors * np.float32(1.01)})
    found = importer.parity(net, tmp_path)
    assert not found.kept
    assert found.difference == pytest.approx(0.01 / 1.01 / 3**0.5, rel=0.1)
