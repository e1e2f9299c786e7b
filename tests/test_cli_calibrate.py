"""The command `calibrate`, and commands with the calibration file that it writes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli import cli, common
from app.pipeline.analyzer import Analyzer
from app.service.calibration_file import CalibrationFile
from app.settings import Settings
from tests.service.calibrations import calibration_file
from tests.service.people import colour_analyzer, write_people

OBAMA, AGAIN = (f"tests/photos/{name}.jpg" for name in ("obama", "obama2"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments])


@pytest.fixture
def fake_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(settings: Settings, **needs: Any) -> Analyzer:
        return colour_analyzer()

    monkeypatch.setattr(common, "load_analyzer", load)


@pytest.mark.usefixtures("fake_nets")
def test_a_calibration_is_printed_and_written(tmp_path: Path) -> None:
    people, out = write_people(tmp_path / "people", 150), tmp_path / "c.json"
    (people / "person003/broken.jpg").write_bytes(b"\xff\xd8\xff but no picture")
    result = run(
        "calibrate", str(people), "--model", "vectors", "--model", "other-vectors", "--out", str(out)
    )
    assert result.exit_code == 0, result.stderr
    assert [line for line in result.stdout.splitlines() if line.startswith(("vectors:", "other-vectors:"))]
    assert f"facet: {people / 'person003/broken.jpg'}: The image" in result.stderr
    assert "facet: 300 images read, 1 failed, 0 left out." in result.stderr
    assert result.stderr.splitlines()[-1] == (
        f"facet: {out} is written. FACE_CALIBRATION={out} makes the service use it."
    )
    file = CalibrationFile.read(out)
    assert list(file.embedders) == ["vectors", "other-vectors"]
    assert file.embedders["vectors"].people == 150


@pytest.mark.usefixtures("fake_nets")
def test_nothing_is_written_if_the_images_are_refused(tmp_path: Path) -> None:
    people, out = write_people(tmp_path / "people", 3), tmp_path / "c.json"
    result = run("calibrate", str(people), "--out", str(out))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "facet: At least 10 people with two images or more are needed" in result.stderr.splitlines()[-1]
    first, second = people / "person000/0.png", people / "person001/copy.png"
    shutil.copy(first, second)
    result = run("calibrate", str(people), "--out", str(out))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"facet: {first} and {second} are the same file.\nfacet: One of two" in result.stderr
    assert not out.exists()


@pytest.mark.usefixtures("fake_nets")
def test_the_rates_are_printed_even_if_the_default_rate_is_not_supported(tmp_path: Path) -> None:
    result = run("calibrate", str(write_people(tmp_path / "people", 20)), "--out", str(tmp_path / "c.json"))
    assert result.exit_code == 1
    assert "threshold now" in result.stdout
    assert result.stderr.splitlines()[-1].startswith("facet: Nothing is written, because the FAR of the def")
    assert not (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "Name a folder with a folder of images for each person, as in: facet calibrate people"),
        ([OBAMA], 2, "Name a folder with a folder of images for each person, as in: facet calibrate people"),
        (
            ["tests/photos", "--out", "none/c.json"],
            2,
            "none/c.json cannot be written: the folder none",
        ),
        (["a" * 300], 2, "Name a folder with a folder of images for each person, as in: facet calibrate"),
        (["tests/photos", "--out", f"{'a' * 300}/c.json"], 2, f"{'a' * 300}/c.json cannot be written: the "),
        (
            ["tests/photos", "--out", "a" * 300],
            2,
            f"{'a' * 300} cannot be written: File name too long. Name ",
        ),
        (["tests/photos", "--out", "tests"], 2, "tests cannot be written: it is not a regular file. Name a"),
        (["tests/photos", "--out", "/dev/null"], 2, "/dev/null cannot be written: it is not a regular file"),
        (["tests/photos", "--model", "nobody"], 1, "No model for embed is named 'nobody'. Choose one of: "),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], status: int, message: str) -> None:
    result = run("calibrate", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert result.stderr.startswith(f"facet: {message}")
    assert result.stderr.count("\n") == 1


def test_the_photographs_of_the_tests_are_too_few(tmp_path: Path) -> None:
    """The real models read them."""
    for person, names in {"obama": ("obama", "obama2"), "biden": ("biden",)}.items():
        (tmp_path / person).mkdir()
        for name in names:
            shutil.copy(f"tests/photos/{name}.jpg", tmp_path / person)
    result = run("calibrate", str(tmp_path), "--model", "sface", "--out", str(tmp_path / "c.json"))
    assert result.exit_code == 1
    assert "facet: 3 images read, 0 failed, 0 left out." in result.stderr
    assert "each with a face; there are 1." in result.stderr


def test_verify_and_models_use_the_calibration_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calibration_file().write(tmp_path / "c.json")
    monkeypatch.setenv("FACE_CALIBRATION", str(tmp_path / "c.json"))
    answer = json.loads(run("verify", OBAMA, AGAIN, "--model", "sface").stdout)
    assert (answer["threshold"], answer["far"]) == (0.53, 0.001)
    assert run("verify", OBAMA, AGAIN, "--model", "sface", "--far", "1e-4").exit_code == 1
    monkeypatch.setenv("FACE_MODELS", "cascade,sface")
    (sface,) = [m for m in map(json.loads, run("models").stdout.splitlines()) if m["name"] == "sface"]
    assert sface["calibrated_on"].startswith(
        "the operator's images (FACE_CALIBRATION, 2026-01-02): 30 people"
    )
    assert [c["threshold"] for c in sface["thresholds"]] == [0.31, 0.42, 0.53]


@pytest.mark.parametrize("command", [["serve"], ["detect", OBAMA]])
def test_a_damaged_calibration_file_ends_every_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "c.json").write_text(calibration_file().model_dump_json()[:-2])
    monkeypatch.setenv("FACE_CALIBRATION", str(tmp_path / "c.json"))
    result = run(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("facet: FACE_CALIBRATION: The file is not a valid calibration file (")
    assert result.stderr.count("\n") == 1


def test_a_calibration_file_for_other_models_ends_a_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calibration_file(weights=("mtcnn", "sface")).write(tmp_path / "c.json")
    monkeypatch.setenv("FACE_CALIBRATION", str(tmp_path / "c.json"))
    monkeypatch.setenv("FACE_DETECTOR", "mtcnn")
    result = run("detect", OBAMA)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("facet: cannot start: The file of FACE_CALIBRATION calibrates sface with")
    assert result.stderr.count("\n") == 1
