"""`python -m training.measure_ranges` on the test photos."""

import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from app.runtime import model_store
from tests.stores import write_store
from training import measure_ranges
from training.exporting import activation_ranges


def command(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(measure_ranges.main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder of two people."""
    for person in ("obama", "biden"):
        (tmp_path / "people" / person).mkdir(parents=True)
        shutil.copy(f"tests/photos/{person}.jpg", tmp_path / "people" / person)
    return tmp_path / "people"


def test_the_ranges_of_the_named_embedder_are_written(tmp_path: Path, people: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_store(models, ("cascade", "sface"))
    result = command(
        "sface", "--source", f"folders:{people}", "--compare", f"folders:{people}", "--models", models
    )
    assert result.exit_code == 0, result.output
    path = models / "ranges" / "sface.npz"
    assert f"{path}: 12 tensors; int8 has a mean cosine of 0.99" in result.output
    measured = activation_ranges.read(path)
    assert measured.cosine.measured_on == "2 faces of 2 people of people"
    assert 0.998 < measured.cosine.minimum <= measured.cosine.mean < 1
    (loaded,) = model_store.load(models, "cpu", names=frozenset({"sface"}))
    assert measured.source_sha256 == loaded.sessions["embedder"].spec.source_sha256


def test_a_source_of_an_unknown_kind_is_one_line(tmp_path: Path) -> None:
    result = command("sface", "--source", "photos:x", "--compare", "photos:x")
    assert result.exit_code == 1
    assert "There is no source 'photos:x'" in result.output
