"""The reader of WIDER FACE's label files."""

from pathlib import Path

import pytest

from training.data.datasets import wider
from training.data.datasets.label_text import BadLabelFile

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


WIDER = (
    "a/x.jpg\n1\n1 2 10 20" + ROW + "\nb\\y.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n\na/z.jpg\n1\n3 4 5 6" + ROW + "\n\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("zeros", [True, False])
def test_wider_files_from_other_systems_are_read(
    tmp_path: Path, encoding: str, end: str, zeros: bool
) -> None:
    text = WIDER if zeros else WIDER.replace("0 0 0 0 0 0 0 0 0 0\n", "")
    write_wider(tmp_path, "")
    labels = tmp_path / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    labels.write_bytes(text.replace("\n", end).encode(encoding))
    images = list(wider.read(tmp_path, "val"))
    assert [image.path.relative_to(tmp_path).as_posix() for image in images] == [
        "WIDER_val/images/a/x.jpg", "WIDER_val/images/b/y.jpg", "WIDER_val/images/a/z.jpg"
    ]  # fmt: skip
    assert [image.boxes.tolist() for image in images] == [[[1, 2, 11, 22]], [], [[3, 4, 8, 10]]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg\n1\n1 2 3\n", "line 3: Ten numbers of a face are expected, not 3"),
        ("a.jpg\n1\n1 2 x 4" + ROW, "line 3: Ten numbers of a face are expected, but 'x' is not a number"),
        ("a.jpg\n1\n1 2 nan 4" + ROW, "line 3: .* 'nan' is not a number"),
        ("a.jpg\n1\n1 2 -3 4" + ROW, "line 3: A box is x, y, width and height in pixels. A side is negative"),
        ("a.jpg\n1\n1 2 1e39 4" + ROW, "line 3: A box is .* a number is too large"),
        ("a.jpg\n2\n1 2 3 4" + ROW, "line 3: The file ends before the last face"),
        ("a.jpg\n0\n0 0 0 0 0 0 0 0 0 x", "line 3: .* 'x' is not a number"),
        ("a.jpg\n-1\n", "line 1: The number of faces must follow the photo 'a.jpg', not '-1'"),
        ("a.jpg\n", "line 1: The number of faces must follow"),
        ("", "The file is empty"),
    ],
)
def test_a_fault_of_a_wider_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadLabelFile, match=rf"wider_face_val_bbx_gt\.txt.*{message}"):
        list(wider.read(write_wider(tmp_path, text), "val"))
