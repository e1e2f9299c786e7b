"""The report of a prepared set, and sets that are damaged or of another kind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training import identity_sets, landmark_sets
from training.data.storage import candidates, identity_crops, landmark_crops
from training.data.storage.prepared import BadPreparedData, read_report


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return identity_sets.write_prepared(tmp_path)


def test_the_report_of_an_intact_set_is_returned(people: Path) -> None:
    assert read_report(people, "identities")["sources"] == ["x"]


def test_a_folder_without_a_set_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(BadPreparedData, match=r"there is no .*none/prepare\.json\. Write it with"):
        read_report(tmp_path / "none", "identities")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, alter, Path.unlink])
def test_a_damaged_set_is_an_error(damage: Callable[[Path], None], people: Path) -> None:
    damage(people / "validation.tfrecord")
    with pytest.raises(BadPreparedData, match=r"not those that its prepare\.json describes"):
        read_report(people, "identities")


def test_a_damaged_report_is_an_error(people: Path) -> None:
    cut(people / "prepare.json")
    with pytest.raises(BadPreparedData, match=r"prepare\.json is damaged"):
        read_report(people, "identities")


@pytest.mark.parametrize("content", [b"\xff" * 5, b"\xff" * 100, b"\x08" + b"\0" * 11 + b"\xff" * 12])
def test_a_file_that_is_no_tfrecord_is_an_error(content: bytes, people: Path) -> None:
    (people / "train.tfrecord").write_bytes(content)
    with pytest.raises(BadPreparedData, match=r"train\.tfrecord"):
        identity_crops.load(people / "train.tfrecord")


def test_a_set_of_the_other_kind_is_an_error(people: Path, tmp_path: Path) -> None:
    with pytest.raises(BadPreparedData, match="holds no faces with landmarks"):
        landmark_crops.load(people / "train.tfrecord")
    landmark_crops.save(tmp_path / "faces.tfrecord", landmark_sets.synthetic_faces(2, 0))
    with pytest.raises(BadPreparedData, match="holds no faces of known people"):
        identity_crops.load(tmp_path / "faces.tfrecord")


@pytest.mark.parametrize("content", [b"", b"no candidates", b"PK\x03\x04" + b"\0" * 40])
def test_a_file_that_holds_no_candidates_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(BadPreparedData, match=r"Write it with `python -m training\.mine_candidates`"):
        candidates.load(tmp_path / "c.npz")
