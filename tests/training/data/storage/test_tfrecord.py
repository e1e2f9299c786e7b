"""TFRecord files: what TensorFlow reads, damaged files, and signed integers."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.training.landmark_sets import synthetic_faces
from training.data.storage import landmark_crops, tfrecord


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "train.tfrecord"
    landmark_crops.save(file, synthetic_faces(10, 0))
    return file


def test_tensorflow_reads_the_same_records(path: Path) -> None:
    for ours, raw in zip(tfrecord.read(path), tf.data.TFRecordDataset(str(path)), strict=True):
        theirs = tf.train.Example.FromString(raw.numpy()).features.feature
        assert set(ours) == set(theirs)
        assert ours["image"] == theirs["image"].bytes_list.value[0]
        np.testing.assert_array_equal(ours["points"], np.float32(theirs["points"].float_list.value))
        np.testing.assert_array_equal(ours["span"], theirs["span"].int64_list.value)


def test_a_cut_file_is_an_error(path: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tfrecord"
    cut.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="ends inside a record"):
        list(tfrecord.read(cut))


def test_signed_integers_come_back(tmp_path: Path) -> None:
    values = np.array([-3, 0, 2**40, -(2**63)])
    tfrecord.write(tmp_path / "a.tfrecord", [{"n": values}])
    np.testing.assert_array_equal(next(tfrecord.read(tmp_path / "a.tfrecord"))["n"], values)
