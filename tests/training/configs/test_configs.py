"""The docstrings of the named runs agree with the records and the repository."""

import ast
import json
import re
from pathlib import Path

import pytest

CONFIGS = sorted(path for path in Path("training/configs").glob("*.py") if path.stem != "__init__")
RECORDS = {
    path.parent.name: json.loads(path.read_text()) for path in Path("training/records").glob("*/run.json")
}
FIGURE = re.compile(r"Validation (NME|EER|RMSE|loss): ([\d.]+)[^(]*\s\(`training/records/(\w+)`\)")
MEASURES = {"NME": "error", "EER": "error", "RMSE": "rmse", "loss": "loss"}


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_quoted_figures_are_those_of_the_record(path: Path) -> None:
    text = docstring(path)
    figures = FIGURE.findall(text)
    assert len(figures) == text.count("training/records/") == text.count("Validation ")
    for measure, figure, run in figures:
        value = RECORDS[run][f"best_validation_{MEASURES[measure]}"] * (100 if measure == "NME" else 1)
        assert run == path.stem
        assert f"{value:.{len(figure.partition('.')[2])}f}" == figure


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_percentage_is_the_error_of_a_record(path: Path) -> None:
    known = {f"{record.get('best_validation_error', 1):.2%}" for record in RECORDS.values()}
    assert set(re.findall(r"\d+\.\d+%", docstring(path))) <= known


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_named_pages_exist(path: Path) -> None:
    assert all(Path(page).exists() for page in re.findall(r"[\w/-]+\.md", docstring(path)))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_docstring_has_the_command_that_trains_the_run(path: Path) -> None:
    assert f"    python -m training.train {path.stem} --data " in docstring(path)


def test_each_record_is_of_a_named_run() -> None:
    assert RECORDS
    assert set(RECORDS) <= {path.stem for path in CONFIGS}
