"""Files that are written completely or not at all."""

from pathlib import Path

import pytest

from training.data.storage.whole_file import whole_file


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.weights.h5"
    path.write_text("old")
    with whole_file(path) as part:
        part.write_text("new")
        assert (part.name, path.read_text()) == ("part.a.weights.h5", "old")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path: Path) -> None:
    with whole_file(path) as part:
        part.write_text("ne")
        raise OSError("full")


def test_an_error_leaves_the_former_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="full"):
        write_half(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
