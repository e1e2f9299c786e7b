"""Mistakes of the user of a command end it with one line."""

from pathlib import Path

import pytest

from app.errors import BadModel
from training.config.registry import UnknownRun
from training.evaluation.user_errors import UserError, one_line_errors


@pytest.mark.parametrize(
    "error", [UserError("Give --model."), BadModel("It is damaged."), UnknownRun("cn68", ["cnn68"])]
)
def test_a_known_error_ends_the_command_with_its_message(error: Exception) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error
    assert ended.value.code == str(error)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        (tmp_path / "missing.csv").read_text()
    assert ended.value.code == f"{tmp_path / 'missing.csv'} does not exist."


def test_a_missing_file_keeps_the_message_of_its_reader() -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise FileNotFoundError("kaggle15 holds neither test.csv nor test.zip")
    assert ended.value.code == "kaggle15 holds neither test.csv nor test.zip"


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0
