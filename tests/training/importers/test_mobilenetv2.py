import io
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest

from training.importers import mobilenetv2
from training.importers.packages import HashMismatch, MemberMissing

MANIFEST = (
    'weights:[{name:"a/kernel",shape:[1,2],dtype:"float32",quantization:{min:-.5,scale:.25,dtype:"uint8"}},'
    '{name:"a/bias",shape:[2],dtype:"float32",quantization:{min:1,scale:2e-1,dtype:"uint8"}}]'
)


def test_bytes_become_numbers_by_their_least_value_and_step() -> None:
    found = mobilenetv2.tensors(MANIFEST, bytes([0, 4, 10, 5]))
    assert list(found) == ["a/kernel", "a/bias"]
    np.testing.assert_allclose(found["a/kernel"], [[-0.5, 0.5]])
    np.testing.assert_allclose(found["a/bias"], [3, 2])


@pytest.mark.parametrize(
    ("stored", "told"), [(bytes(3), "end within a/bias"), (bytes(6), "2 bytes are left")]
)
def test_bytes_that_do_not_fit_are_refused(stored: bytes, told: str) -> None:
    with pytest.raises(mobilenetv2.BadWeights, match=told):
        mobilenetv2.tensors(MANIFEST, stored)


def small_net() -> keras.Model:
    image = keras.Input((4, 4, 1))
    deep = keras.layers.DepthwiseConv2D(3, use_bias=False, name="deep")(image)
    return keras.Model(image, keras.layers.BatchNormalization(name="norm")(deep))


def test_a_net_is_filled_by_keras_2_names() -> None:
    names = ("deep/depthwise_kernel", "norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance")
    shapes = ((3, 3, 1, 1), (1,), (1,), (1,), (1,))
    found = {
        name: np.full(shape, i, np.float32) for i, (name, shape) in enumerate(zip(names, shapes, strict=True))
    }
    net = small_net()
    mobilenetv2.fill(net, found)
    assert [float(np.ravel(weight)[0]) for weight in net.get_weights()] == [0, 1, 2, 3, 4]
    with pytest.raises(mobilenetv2.BadWeights, match="norm/beta: None"):
        mobilenetv2.fill(small_net(), {name: value for name, value in found.items() if name != "norm/beta"})
    with pytest.raises(mobilenetv2.BadWeights, match="deep/depthwise_kernel"):
        mobilenetv2.fill(small_net(), found | {"deep/depthwise_kernel": np.zeros((3, 3), np.float32)})


def test_another_package_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "package.tgz"
    archive.write_bytes(b"no archive")
    with pytest.raises(MemberMissing):
        mobilenetv2.read(archive)
    with tarfile.open(archive, "w:gz") as tar:
        entry = tarfile.TarInfo(mobilenetv2.MODEL)
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"abc"))
    with pytest.raises(HashMismatch):
        mobilenetv2.read(archive)
