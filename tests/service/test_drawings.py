import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from app.errors import BadParameter
from app.service.drawings import DrawingFolder, is_drawing, mark
from app.service.limits import Limits
from app.service.operations import ImageResult, Operations
from app.service.requests import DetectQuery
from app.service.upload import Upload
from app.vision import image as images
from tests.api.pictures import picture
from tests.fakes import fake_analyzer

LIMITS = Limits(image_bytes=50_000, image_pixels=600_000, faces=50, boxes=4)


@pytest.fixture(scope="module")
def result() -> ImageResult:
    return Operations(fake_analyzer(), LIMITS).detect(Upload(picture()), DetectQuery())


@pytest.mark.parametrize("format", ["jpeg", "png"])
def test_a_marked_image_is_the_same_image(format: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    plain = images.encode(pixels, "png" if format == "png" else "jpeg")
    marked = mark(plain)
    assert not is_drawing(plain)
    assert is_drawing(marked)
    np.testing.assert_array_equal(
        images.decode(marked, 10_000, "image"), images.decode(plain, 10_000, "image")
    )
    with Pil.open(io.BytesIO(marked)) as file:
        file.load()
        comment = file.info["comment"] if format == "jpeg" else file.info["Comment"].encode()
    assert comment == b"Faces drawn by Facet"


def test_photos_are_no_drawings() -> None:
    for path in Path("tests/photos").glob("*.*g"):
        assert not is_drawing(path.read_bytes())


def test_names_and_formats(tmp_path: Path, result: ImageResult) -> None:
    drawings = DrawingFolder(tmp_path / "out", [])
    for relative, written in [
        ("a.png", "a.png"), ("b.JPG", "b.JPG"), ("deep/c.webp", "deep/c.webp.png"), ("stdin", "stdin.png"),
    ]:  # fmt: skip
        assert drawings.write(result, relative) == tmp_path / "out" / written
        data = (tmp_path / "out" / written).read_bytes()
        assert data.startswith(b"\xff\xd8\xff" if written == "b.JPG" else b"\x89PNG")
        assert is_drawing(data)
    assert not list(tmp_path.rglob("*.part"))


def test_images_of_the_same_name_do_not_overwrite_each_other(tmp_path: Path, result: ImageResult) -> None:
    for _ in range(2):  # a second run replaces the drawings of the first
        drawings = DrawingFolder(tmp_path, [])
        names = [drawings.write(result, name).name for name in ("a.jpg", "a.jpg", "a-2.jpg", "a.jpg")]
        assert names == ["a.jpg", "a-2.jpg", "a-2-2.jpg", "a-3.jpg"]
        assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.timeout(60)
def test_many_images_of_one_name(tmp_path: Path, result: ImageResult) -> None:
    drawings = DrawingFolder(tmp_path, [])
    assert len({drawings.write(result, "a.png") for _ in range(500)}) == 500


def test_only_drawings_are_overwritten(tmp_path: Path, result: ImageResult) -> None:
    given = mark(picture())
    before = {"input.jpg": given, "photo.jpg": picture(), "text.jpg": b"text", "empty.jpg": b""}
    for name, data in before.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to("gone.jpg")
    (tmp_path / "linked.jpg").symlink_to("input.jpg")
    drawings = DrawingFolder(tmp_path, [str(tmp_path / "input.jpg")])
    for name in (*before, "folder.jpg", "dangling.jpg", "linked.jpg"):
        assert drawings.write(result, name) == tmp_path / name.replace(".jpg", "-2.jpg")
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert not (tmp_path / "gone.jpg").exists()


@pytest.mark.parametrize("name", ["a.jpg/b.jpg", "x" * 253 + ".png", "x" * 300])
def test_an_image_that_cannot_be_written(tmp_path: Path, result: ImageResult, name: str) -> None:
    (tmp_path / "a.jpg").write_bytes(picture())
    with pytest.raises(BadParameter, match="cannot be written: ") as caught:
        DrawingFolder(tmp_path, []).write(result, name)
    assert caught.value.field == "draw"
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
