"""What the named runs say about themselves."""

import ast
import json
import re
from pathlib import Path

import pytest

CONFIGS = sorted(path for path in Path("training/configs").glob("*.py") if path.stem != "__init__")
RECORDS = {
    path.parent.name: json.loads(path.read_text()) for path in Path("training/records").glob("*/run.json")
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_errors_quoted_are_those_of_the_records(path: Path) -> None:
    """A percentage is the validation error of a recorded run; the evaluation writes figures on a test set."""
    known = {f"{record.get('best_validation_error', 1):.2%}" for record in RECORDS.values()}
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert set(re.findall(r"\d+\.\d+%", text)) <= known


def test_every_record_is_of_a_run_that_there_is() -> None:
    assert RECORDS
    assert set(RECORDS) <= {path.stem for path in CONFIGS}
