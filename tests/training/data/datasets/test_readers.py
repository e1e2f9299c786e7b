from pathlib import Path

import pytest

from training.data.datasets import lfw, wider

ROW = " 1 0 0 0 0 0"


def write_wider(root: Path, text: str) -> Path:
    (root / "wider_face_split").mkdir()
    (root / "wider_face_split" / "wider_face_val_bbx_gt.txt").write_text(text)
    return root


def test_wider_boxes_invalid_marks_and_photos_without_faces_are_read(tmp_path: Path) -> None:
    lines = ["a/x.jpg", "2", "1 2 10 20" + ROW, "5 6 7 8 0 0 0 1 0 0", "a/y.jpg", "0", "0 0 0 0 0 0 0 0 0 0"]
    first, second = wider.read(write_wider(tmp_path, "\n".join(lines)), "val")
    assert first.boxes.tolist() == [[1, 2, 11, 22], [5, 6, 12, 14]]
    assert first.invalid.tolist() == [False, True]
    assert first.path == tmp_path / "WIDER_val" / "images" / "a/x.jpg"
    assert second.boxes.shape == (0, 4)


def test_a_malformed_wider_file_raises_an_error_with_the_line(tmp_path: Path) -> None:
    root = write_wider(tmp_path, "a/x.jpg\n1\n1 2 10 20" + ROW + "\na/y.jpg\nmany")
    with pytest.raises(ValueError, match="line 4"):
        list(wider.read(root, "val"))


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
    [("1\nAnn 1 2\n", "has 1 pairs"), ("1\nAnn 1\nAnn 1 Bob 2\n", "line 2: there are 2 cells")],
)
def test_a_malformed_pairs_file_raises_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        lfw.read_pairs(tmp_path, "pairs.txt")
