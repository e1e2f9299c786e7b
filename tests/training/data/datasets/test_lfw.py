"""The reader of LFW's pairs files."""

from pathlib import Path

import pytest

from training.data.datasets import lfw
from training.data.datasets.label_text import BadLabelFile


def test_lfw_view_1_and_view_2_are_read(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("1\nAnn\t1\t2\nAnn\t1\tBob\t3\n")
    genuine, impostor = lfw.read_pairs(tmp_path, "one.txt")
    assert genuine.same
    assert not impostor.same
    assert impostor.b == tmp_path / "Bob" / "Bob_0003.jpg"
    (tmp_path / "two.txt").write_text("2 1\nAnn 1 2\nAnn 1 Bob 3\nCy 1 2\nCy 1 Bob 3\n")
    assert [pair.fold for pair in lfw.read_pairs(tmp_path, "two.txt")] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [("1\nAnn 1 2\n", "has 1 pairs"), ("1\nAnn 1\nAnn 1 Bob 2\n", "line 2: There are 2 cells")],
)
def test_a_malformed_pairs_file_raises_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        lfw.read_pairs(tmp_path, "pairs.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_pairs_files_from_other_systems_are_read(tmp_path: Path, encoding: str, end: str) -> None:
    text = "2\t1\n\nAnn Lee\t1\t2\nAnn Lee\t1\tBob\t3\n\nCy\t1\t2\nCy\t1\tBob\t3\n\n"
    (tmp_path / "pairs.txt").write_bytes(text.replace("\n", end).encode(encoding))
    pairs = lfw.read_pairs(tmp_path, "pairs.txt")
    assert [(pair.same, pair.fold) for pair in pairs] == [(True, 0), (False, 0), (True, 1), (False, 1)]
    assert pairs[0].b == tmp_path / "Ann Lee" / "Ann Lee_0002.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The file is empty"),
        ("\n\n", "line 1: The first line is ''. It must be `n` or `folds n`"),
        ("1 2 3\n", "line 1: The first line is '1 2 3'"),
        ("name,a,b\n", "line 1: A whole number is expected, not 'name,a,b'"),
        ("1\nAnn 1 two\nAnn 1 Bob 2\n", "line 2: A whole number is expected, not 'two'"),
        ("1\nAnn 1 2\nAnn 1 Bob 2\nCy 1 Bob 2\n", "has 3 pairs; its first line announces 2"),
    ],
)
def test_a_fault_of_a_pairs_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(BadLabelFile, match=rf"pairs\.txt.*{message}"):
        lfw.read_pairs(tmp_path, "pairs.txt")
