"""Files of identity crops."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.data.storage import identity_crops, tfrecord
from training.data.storage.crops import encode_png


def record(label: int, height: int = 20) -> tfrecord.Record:
    image = np.full((20, 20, 3), label, np.uint8)
    numbers = {"label": label, "height": height, "width": 20}
    return {"image": encode_png(image), "address": f"set/{label}.png".encode()} | {
        name: np.array([value]) for name, value in numbers.items()
    }


def test_crops_are_read_with_people_addresses_and_span(tmp_path: Path) -> None:
    (tmp_path / "prepare.json").write_text(json.dumps({"crop": {"span": 16}}))
    tfrecord.write(tmp_path / "train.tfrecord", [record(0), record(2), record(2)])
    faces = identity_crops.load(tmp_path / "train.tfrecord")
    assert (len(faces), faces.people, faces.span) == (3, 3, 16)
    assert faces.labels.tolist() == [0, 2, 2]
    assert faces.addresses == ("set/0.png", "set/2.png", "set/2.png")
    assert faces.images[:, 0, 0, 0].tolist() == [0, 2, 2]
    np.testing.assert_allclose(faces.to_input(8), [[0.5, 0, -1.25], [0, 0.5, -1.25]])


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    tfrecord.write(tmp_path / "train.tfrecord", [])
    with pytest.raises(ValueError, match="holds no faces"):
        identity_crops.load(tmp_path / "train.tfrecord")


def test_an_image_of_another_size_than_its_record_says_is_named(tmp_path: Path) -> None:
    tfrecord.write(tmp_path / "train.tfrecord", [record(0), record(1, height=21)])
    with pytest.raises(ValueError, match=r"the image set/1\.png has another size"):
        identity_crops.load(tmp_path / "train.tfrecord")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train\.tfrecord"):
        identity_crops.load(tmp_path / "train.tfrecord")
