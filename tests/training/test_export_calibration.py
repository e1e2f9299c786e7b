"""`python -m training.export --calibrate`: whose images are used, and the errors."""

import shutil
from pathlib import Path

import pytest
from typer.testing import Result

from tests.fakes import fake_analyzer
from tests.training.exports import STRANGERS, assert_refused, command, write_photos
from tests.training.finished_runs import write_finished_run
from training import export


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from random weights, and the record of one that started from its weights."""
    folder = tmp_path_factory.mktemp("runs")
    write_finished_run(folder / "softmax", "softmax", ["folders:staff"])
    write_finished_run(folder / "distilled", "distilled", ["folders:staff"])
    write_finished_run(folder / "triplet", "triplet", ["folders:staff"])
    return folder


@pytest.fixture(autouse=True)
def _fake_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "detector_of", lambda models: fake_analyzer())


def calibrate(runs: Path, tmp_path: Path, people: Path) -> Result:
    return command(runs / "softmax", "--name", "x", "--models", tmp_path / "models", "--calibrate", people)


def test_without_other_people_nothing_is_calibrated(runs: Path, tmp_path: Path) -> None:
    known = write_photos(tmp_path / "staff", ["anna", "bert"])
    message = (
        "The run was trained on all 2 people of staff, or chosen by them. Give --calibrate other people."
    )
    assert_refused(calibrate(runs, tmp_path, known), message, tmp_path / "models")


def test_too_few_people_are_one_line(runs: Path, tmp_path: Path) -> None:
    few = write_photos(tmp_path / "few", STRANGERS[:4])
    result = calibrate(runs, tmp_path, few)
    assert_refused(result, "A FAR of 0.1 cannot be measured on few", tmp_path / "models")
    (tmp_path / "empty").mkdir()
    assert_refused(
        calibrate(runs, tmp_path, tmp_path / "empty"), "holds no folders of people.", tmp_path / "models"
    )
    (tmp_path / "empty/someone").mkdir()
    assert_refused(
        calibrate(runs, tmp_path, tmp_path / "empty"), "holds no images of people", tmp_path / "models"
    )
    damaged = tmp_path / "few/stranger0/stranger0_0001.png"
    damaged.write_bytes(b"no image")
    assert_refused(calibrate(runs, tmp_path, few), "stranger0_0001.png", tmp_path / "models")


def test_a_run_that_does_not_record_its_people_is_not_calibrated(runs: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(runs / "triplet", tmp_path / "alone/triplet")
    models, people = tmp_path / "models", write_photos(tmp_path / "visitors", STRANGERS[:2])
    result = command(moved, "--name", "x", "--models", models, "--calibrate", people)
    message = "because the people of the run distilled, from whose weights it started, are not recorded"
    assert_refused(result, message, models)


def test_a_pairs_file_and_copies(runs: Path, tmp_path: Path) -> None:
    people = [*STRANGERS, *(f"guest{i}" for i in range(20))]
    folder = write_photos(tmp_path / "faces", [*people, "anna"], suffix=".jpg")
    shutil.copy(folder / "stranger1/stranger1_0001.jpg", folder / "stranger2/stranger2_0001.jpg")
    genuine = [f"{person}\t1\t2" for person in [*people, "anna"]]
    impostors = [f"{person}\t1\tanna\t1" for person in [*people, "stranger0"]]
    (folder / "pairs.txt").write_text("\n".join(["41", *genuine, *impostors]))
    result = calibrate(runs, tmp_path, folder / "pairs.txt")
    assert result.exit_code == 0, result.output
    assert "pairs.txt: 40 people, 78 images with a face, 38 genuine" in result.output
    assert "1 people are left out, because the run knows people of these names: anna" in result.output
    assert "images left out: 2 copies, 0 without a face" in result.output
    (folder / "pairs.txt").write_text("many\n")
    again = calibrate(runs, tmp_path, folder / "pairs.txt")
    assert (again.exit_code, again.output.count("\n")) == (1, 1)
    assert "pairs.txt" in again.output
