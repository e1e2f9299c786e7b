"""The command line, with the real models: as a function, and once as a process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli import cli

PHOTOS = Path("tests/photos")
OBAMA, AGAIN, BIDEN = (str(PHOTOS / f"{name}.jpg") for name in ("obama", "obama2", "biden"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments])


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(text) for text in result.stdout.splitlines()]


def test_detect() -> None:
    result = run("detect", OBAMA, "--min-face-size", "60", "--max-faces", "1", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    (entry,) = lines(result)
    assert list(entry) == ["file", "image", "faces", "model", "timing_ms"]
    assert entry["file"] == OBAMA
    assert len(entry["faces"]) == 1


def test_landmarks_drawn_into_a_folder(tmp_path: Path) -> None:
    result = run("landmarks", AGAIN, "--min-face-size", "60", "--draw", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    (entry,) = lines(result)
    assert entry["scheme"] in ("ibug68", "kaggle15")
    assert Path(entry["drawn"]).read_bytes().startswith(b"\xff\xd8\xff")


def test_embed() -> None:
    (entry,) = lines(run("embed", AGAIN, "--min-face-size", "60"))
    assert len(entry["faces"][0]["embedding"]) == entry["dimension"]


def test_a_bad_file_among_good_ones(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff but no picture")
    result = run("detect", str(tmp_path), AGAIN, "--min-face-size", "60")
    assert result.exit_code == 1
    bad, good = lines(result)
    assert bad["problem"]["type"] == "/problems/truncated-image"
    assert len(good["faces"]) == 1


@pytest.mark.parametrize(("other", "same"), [(AGAIN, True), (BIDEN, False)])
def test_verify(other: str, same: bool) -> None:
    result = run("verify", OBAMA, other)
    assert result.exit_code == 0
    (entry,) = lines(result)
    assert (entry["file_a"], entry["file_b"], entry["verified"]) == (OBAMA, other, same)


def test_verify_without_a_face() -> None:
    result = run("verify", OBAMA, "app/api/no-such-file.jpg")
    assert result.exit_code == 1
    assert lines(result)[0]["problem"]["field"] == "image_b"


def test_models() -> None:
    models = lines(run("models"))
    assert {"detect", "landmarks", "embed"} == {model["task"] for model in models}
    assert all(len(file["sha256"]) == 64 for model in models for file in (model, *model["files"]))


def test_options_are_checked_as_the_api_checks_its_parameters() -> None:
    result = run("detect", OBAMA, "--min-face-size", "3")
    assert result.exit_code == 2
    assert "min_face_size" in result.stderr
    assert run("verify", OBAMA, AGAIN, "--far", "2").exit_code == 2


def test_an_unknown_model() -> None:
    result = run("embed", OBAMA, "--model", "nobody")
    assert result.exit_code == 1
    assert lines(result)[0]["problem"]["known"]


def test_a_bad_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_PORT", "eighty")
    for command in (["serve"], ["models"]):
        result = run(*command)
        assert result.exit_code == 2
        assert result.stderr.startswith("facet: FACE_PORT:")


def test_models_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACE_MODELS_DIR", str(tmp_path))
    result = run("models")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "facet: cannot start:" in result.stderr
    assert "manifest.json" in result.stderr


def test_help_tells_of_every_command() -> None:
    text = run("--help").stdout
    for command in ("serve", "detect", "landmarks", "embed", "verify", "models"):
        assert command in text


def test_as_a_process(tmp_path: Path) -> None:
    """`serve` with a damaged store ends with one line and a code, and leaves no server behind."""
    done = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--port", "0"],
        env={**os.environ, "FACE_MODELS_DIR": str(tmp_path), "FACE_PROT": "1", "FACE_LOG_FORMAT": "text"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (critical,) = [text for text in done.stderr.splitlines() if text.startswith("CRITICAL")]
    assert "cannot start" in critical
    assert "manifest.json" in critical
    assert "FACE_PROT" in done.stderr
