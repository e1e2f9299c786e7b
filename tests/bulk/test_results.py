"""`facet enrol --from`: what is enrolled from the results of `facet bulk`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli import cli, common
from app.service.image_tasks import ImageTask
from tests.bulk.clusters import describe
from tests.bulk.clusters import run as bulk
from tests.fakes import fake_analyzer
from tests.test_cli_gallery import BLUE, DARK, GREEN, RED, RED_AGAIN, photo


@pytest.fixture(autouse=True)
def gallery(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACE_GALLERY", str(tmp_path / "gallery/gallery.db"))
    monkeypatch.setattr(common, "load_analyzer", lambda settings, **needs: fake_analyzer())


@pytest.fixture
def people(tmp_path: Path) -> Path:
    photo(tmp_path / "people/Ann/1.png", RED)
    photo(tmp_path / "people/Ann/2.png", RED_AGAIN)
    photo(tmp_path / "people/Bob/1.png", GREEN, BLUE)
    photo(tmp_path / "people/Bob/2.png", DARK)
    (tmp_path / "people/Bob/3.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    photo(tmp_path / "people/nobody.png", BLUE)
    return tmp_path / "people"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


def exported(collection: str, file: Path) -> list[dict[str, Any]]:
    """Return the people and faces of a collection without what differs between two enrolments."""
    assert run("collections", "export", collection, file).exit_code == 0
    text = re.sub(r'"(id|created)": ?"[^"]*"', r'"\1":""', file.read_text())
    return [json.loads(line) for line in text.splitlines()][1:]


def computed(people: Path, output: Path, task: ImageTask = "embed", **options: Any) -> Path:
    bulk([people], output, description=describe(task, **options))
    return output


def test_it_enrols_what_enrol_finds_in_the_images(people: Path, tmp_path: Path) -> None:
    results = computed(people, tmp_path / "results")
    direct = run("enrol", people, "-c", "direct")
    stored = run("enrol", "--from", results, "-c", "stored")
    assert stored.exit_code == direct.exit_code == 1
    lines = [
        [{**json.loads(line), "face": None, "person": None} for line in result.stdout.splitlines()]
        for result in (direct, stored)
    ]
    assert lines[0] == lines[1]
    assert [line.get("problem", {}).get("type") for line in lines[0]] == [
        None,
        None,
        None,
        "/problems/no-face",
        "/problems/truncated-image",
    ]
    faces = exported("direct", tmp_path / "direct.jsonl")
    assert faces[-1] == {"end": True, "people": 2, "faces": 3}
    assert faces == exported("stored", tmp_path / "stored.jsonl")
    assert "1 left out: not in the folder of a person" in stored.stderr


def test_a_second_time_adds_nothing(people: Path, tmp_path: Path) -> None:
    results = computed(people, tmp_path / "results")
    run("enrol", "--from", results, "-c", "family")
    again = run("enrol", "--from", results, "-c", "family")
    assert "0 people and 0 faces added, 0 duplicates not stored, 3 enrolled before" in again.stderr


def test_one_face_only(people: Path, tmp_path: Path) -> None:
    results = computed(people, tmp_path / "results")
    result = run("enrol", "--from", results, "-c", "family", "--faces", "one")
    problems = [json.loads(line).get("problem", {}).get("type") for line in result.stdout.splitlines()]
    assert problems[2] == "/problems/several-faces"


def test_parts_that_are_missing_are_reported(people: Path, tmp_path: Path) -> None:
    results = computed(people, tmp_path / "results")
    sorted(results.glob("part-*"))[0].unlink()
    result = run("enrol", "--from", results, "-c", "family")
    assert "The run has not processed 2 images yet. They are not enrolled." in result.stderr


def test_results_that_cannot_be_enrolled(people: Path, tmp_path: Path) -> None:
    detections = computed(people, tmp_path / "detections", "detect")
    other = computed(people, tmp_path / "other")
    description = other / "_facet/run.json"
    contract = describe("embed").contract
    assert contract is not None
    description.write_text(description.read_text().replace(contract, "vectors-0123456789abcdef"))
    for results, status, message in (
        (tmp_path / "missing", 2, "has no results of facet bulk"),
        (people, 2, "has no results of facet bulk"),
        (detections, 2, "has the results of `facet bulk --task detect`, which have no embeddings"),
        (
            other,
            1,
            "have the contract vectors-0123456789abcdef, but those of the loaded models have vectors-",
        ),
    ):
        result = run("enrol", "--from", results, "-c", "family")
        assert result.exit_code == status, result.stderr
        assert message in result.stderr
    assert run("enrol", "--from", other, people, "-c", "family").exit_code == 2
