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


def test_bytes_become_numbers_by_minimum_and_step() -> None:
    tensors = mobilenetv2.tensors(MANIFEST, bytes([0, 4, 10, 5]))
    assert list(tensors) == ["a/kernel", "a/bias"]
    np.testing.assert_allclose(tensors["a/kernel"], [[-0.5, 0.5]])
    np.testing.assert_allclose(tensors["a/bias"], [3, 2])


@pytest.mark.parametrize(
    ("stored", "message"), [(bytes(3), "end within a/bias"), (bytes(6), "2 bytes are left")]
)
def test_missing_or_extra_bytes_raise_an_error(stored: bytes, message: str) -> None:
    with pytest.raises(mobilenetv2.BadWeights, match=message):
        mobilenetv2.tensors(MANIFEST, stored)


def small_net() -> keras.Model:
    image = keras.Input((4, 4, 1))
    deep = keras.layers.DepthwiseConv2D(3, use_bias=False, name="deep")(image)
    return keras.Model(image, keras.layers.BatchNormalization(name="norm")(deep))


def test_a_net_is_filled_by_the_names_of_keras_2() -> None:
    names = ("deep/depthwise_kernel", "norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance")
    shapes = ((3, 3, 1, 1), (1,), (1,), (1,), (1,))
    tensors = {
        name: np.full(shape, i, np.float32) for i, (name, shape) in enumerate(zip(names, shapes, strict=True))
    }
    net = small_net()
    mobilenetv2.fill(net, tensors)
    assert [float(np.ravel(weight)[0]) for weight in net.get_weights()] == [0, 1, 2, 3, 4]
    with pytest.raises(mobilenetv2.BadWeights, match="norm/beta is missing"):
        mobilenetv2.fill(small_net(), {name: value for name, value in tensors.items() if name != "norm/beta"})
    with pytest.raises(mobilenetv2.BadWeights, match=r"deep/depthwise_kernel has the shape \(3, 3\)"):
        mobilenetv2.fill(small_net(), tensors | {"deep/depthwise_kernel": np.zeros((3, 3), np.float32)})


def test_another_archive_raises_an_error(tmp_path: Path) -> None:
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
