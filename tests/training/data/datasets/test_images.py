"""Photos of the datasets."""

from pathlib import Path

import pytest

from app.errors import BadImage
from training.data.datasets.images import read_image


def test_a_photo_is_decoded() -> None:
    assert read_image(Path("tests/photos/astronaut.png")).shape == (512, 512, 3)


def test_a_file_that_is_no_image_raises_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no image")
    with pytest.raises(BadImage, match=r"notes\.jpg"):
        read_image(tmp_path / "notes.jpg")
