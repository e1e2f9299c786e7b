"""`facet cluster`, over fake nets: a face is as similar to another as the colours of both."""

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil
from typer.testing import CliRunner, Result

from app.cli import cli, common
from app.service import cluster_files
from app.service.drawings import is_drawing
from tests.fakes import fake_analyzer

Colour = tuple[int, int, int]

RED, GREEN, BLUE = (220, 40, 40), (40, 220, 40), (40, 40, 220)
DARK = (0, 0, 0)


def photo(path: Path, left: Colour, right: Colour) -> Path:
    """Write a picture with two faces of these colours; in a dark one there is none."""
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[:, :100], pixels[:, 100:] = left, right
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(pixels).save(path, format="PNG")
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["cluster", *map(str, arguments)])


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(text) for text in result.stdout.splitlines()]


def messages(result: Result) -> list[str]:
    return re.findall(r"^facet: (.*)$", result.stderr, re.MULTILINE)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.fixture(autouse=True)
def nets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "load_analyzer", lambda settings, **needs: fake_analyzer())


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three images of RED, two of GREEN, one of BLUE, and one without a face."""
    photo(tmp_path / "album/a/1.png", RED, GREEN)
    photo(tmp_path / "album/b/1.png", GREEN, RED)
    photo(tmp_path / "album/b/2.png", RED, BLUE)
    photo(tmp_path / "album/b/3.png", DARK, DARK)
    return tmp_path / "album"


def test_a_line_for_each_image(album: Path) -> None:
    result = run(album)
    assert result.exit_code == 0, result.stderr
    found = lines(result)
    assert [Path(one["file"]).relative_to(album).as_posix() for one in found] == [
        "a/1.png",
        "b/1.png",
        "b/2.png",
        "b/3.png",
    ]
    clusters = [
        [face["cluster"] for face in sorted(one["faces"], key=lambda face: face["box"]["x1"])]
        for one in found
    ]
    assert clusters == [[0, 1], [1, 0], [0, None], []]
    assert found[0]["image"] == {"width": 200, "height": 120}
    assert messages(result) == [
        "6 faces: 5 in 2 clusters, and 1 alike to no other.",
        "4 images read, 0 failed, 0 left out.",
    ]


def test_links(album: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    assert run(album, "--links", links).exit_code == 0
    assert files(links) == [
        "cluster-0000/1-2.png",
        "cluster-0000/1.png",
        "cluster-0000/2.png",
        "cluster-0001/1-2.png",
        "cluster-0001/1.png",
        "unclustered/2.png",
    ]
    assert (links / "cluster-0000/1.png").is_symlink()
    assert (links / "cluster-0000/1.png").samefile(album / "a/1.png")
    assert (links / "cluster-0000/1-2.png").samefile(album / "b/1.png")
    again = run(album, links)
    assert len(lines(again)) == 4
    assert "6 left out: the same file as another one" in again.stderr


def test_sheets(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sheets = tmp_path / "sheets"
    assert run(album, "--sheets", sheets).exit_code == 0
    assert files(sheets) == ["cluster-0000.jpg", "cluster-0001.jpg", "unclustered.jpg"]
    for name, colour, faces in (
        ("cluster-0000", RED, 3),
        ("cluster-0001", GREEN, 2),
        ("unclustered", BLUE, 1),
    ):
        with Pil.open(sheets / f"{name}.jpg") as sheet:
            assert sheet.size == (4 + faces * 116, 120)
            for face in range(faces):
                centre = np.array(sheet.convert("RGB").getpixel((60 + face * 116, 60)))
                assert np.abs(centre - colour).max() < 12
    assert is_drawing((sheets / "unclustered.jpg").read_bytes())


def test_a_bad_image_fails_alone(album: Path) -> None:
    (album / "b/2a.png").write_bytes(b"no picture")
    result = run(album)
    assert result.exit_code == 1
    assert [one.get("problem", {}).get("type") for one in lines(result)] == [
        None,
        None,
        None,
        "/problems/not-an-image",
        None,
    ]
    assert messages(result)[-1].startswith("1 failed: not-an-image (image):")


def test_an_existing_folder_is_not_written_to(album: Path) -> None:
    for option in ("--links", "--sheets"):
        result = run(album, option, album)
        assert result.exit_code == 2
        assert f"of {option} exists and is not empty" in result.stderr


def test_a_folder_that_cannot_be_read_is_not_written_to(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for option in ("--links", "--sheets"):
        result = run(album, option, "a" * 300)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.endswith(f"of {option} cannot be read: File name too long. Name a new folder.\n")

    def locked(path: str) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "listdir", locked)
    result = run(album, "--links", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("of --links cannot be read: Permission denied. Name a new folder.\n")


def test_wrong_calls(album: Path) -> None:
    assert run().exit_code == 2
    assert run("-").exit_code == 2
    assert run(album, "--threshold", "2").exit_code == 2
    unknown = run(album, "--model", "nobody")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "nobody" in unknown.stderr


def test_too_many_faces(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_files, "MAX_FACES", 5)
    result = run(album)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "more than 5 faces" in result.stderr
    assert run(album, "--max-faces", "1").exit_code == 0


def test_links_that_cannot_be_written(album: Path, tmp_path: Path) -> None:
    (tmp_path / "links").symlink_to("none")
    result = run(album, "--links", tmp_path / "links")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_no_images(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert messages(result)[0] == "There are no images to read."
