"""Files of landmark crops, and sets that are put together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.landmark_sets import synthetic_faces
from training.data.storage import landmark_crops, tfrecord
from training.data.storage.landmark_crops import concatenate

ARRAYS = ("images", "points", "five", "transforms", "corners", "detected")


def test_crops_come_back_as_they_were(tmp_path: Path) -> None:
    before = synthetic_faces(10, 0)
    before.points[3, 5:] = np.nan
    assert landmark_crops.save(tmp_path / "train.tfrecord", before) == 10
    after = landmark_crops.load(tmp_path / "train.tfrecord")
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert (after.names, after.photos, after.span) == (before.names, before.photos, before.span)


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    tfrecord.write(tmp_path / "train.tfrecord", [])
    with pytest.raises(ValueError, match=r"train\.tfrecord holds no crops"):
        landmark_crops.load(tmp_path / "train.tfrecord")


@pytest.mark.parametrize("other", [synthetic_faces(2, 1, side=60), synthetic_faces(2, 1, span=36)])
def test_a_file_of_several_sizes_is_an_error(other: landmark_crops.LandmarkCrops, tmp_path: Path) -> None:
    paths = tmp_path / "a.tfrecord", tmp_path / "b.tfrecord"
    for path, faces in zip(paths, (synthetic_faces(2, 0), other), strict=True):
        landmark_crops.save(path, faces)
    (tmp_path / "both.tfrecord").write_bytes(b"".join(path.read_bytes() for path in paths))
    with pytest.raises(ValueError, match="mixes crops of several sizes"):
        landmark_crops.load(tmp_path / "both.tfrecord")


def test_sets_are_put_together_in_order_and_only_with_one_size() -> None:
    first, second = synthetic_faces(2, 0), synthetic_faces(1, 1)
    both = concatenate(first, replace(second, names=("other",), photos=("p",)))
    assert both.names == ("synthetic/0", "synthetic/1", "other")
    assert both.photos == ("p0", "p0", "p")
    assert len(both) == 3
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(both, name)[2], getattr(second, name)[0])
    with pytest.raises(ValueError, match="crops have 70 and 60 pixels"):
        concatenate(first, synthetic_faces(1, 1, side=60))


def test_a_selection_keeps_names_and_arrays_together() -> None:
    faces = synthetic_faces(4, 0)
    part = faces.take(np.array([3, 1]))
    assert part.names == ("synthetic/3", "synthetic/1")
    assert part.photos == ("p1", "p0")
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(part, name), getattr(faces, name)[[3, 1]])
