"""The option `--orientation` of the command line, with the real models."""

import json
from pathlib import Path

import pytest
from PIL import Image as Pil
from typer.testing import CliRunner

from app.cli import cli

OBAMA = "tests/photos/obama.jpg"


@pytest.fixture
def upside_down(tmp_path: Path) -> str:
    """A photo that is turned by 180 degrees."""
    path = tmp_path / "upside-down.png"
    Pil.open(OBAMA).convert("RGB").reduce(2).transpose(Pil.Transpose.ROTATE_180).save(path)
    return str(path)


@pytest.mark.parametrize("command", ["detect", "landmarks", "embed"])
def test_auto_finds_the_turned_face(monkeypatch: pytest.MonkeyPatch, upside_down: str, command: str) -> None:
    monkeypatch.setenv("FACE_EMBEDDER", "sface")
    runner = CliRunner()
    assert json.loads(runner.invoke(cli, [command, upside_down]).stdout)["faces"] == []
    result = runner.invoke(cli, [command, upside_down, "--orientation", "auto"])
    assert result.exit_code == 0
    (face,) = json.loads(result.stdout)["faces"]
    assert face["rotation"] == 180


def test_verify_compares_turned_images(upside_down: str) -> None:
    arguments = ["verify", OBAMA, upside_down, "--model", "sface"]
    runner = CliRunner()
    refused = runner.invoke(cli, arguments)
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["problem"]["field"] == "image_b"
    result = runner.invoke(cli, [*arguments, "--orientation", "auto"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["verified"] is True


@pytest.mark.parametrize("arguments", [["detect", OBAMA], ["verify", OBAMA, OBAMA]])
def test_an_unknown_orientation(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, [*arguments, "--orientation", "sideways"])
    assert result.exit_code == 2
    assert "orientation" in result.stderr
    assert "upright" in result.stderr
