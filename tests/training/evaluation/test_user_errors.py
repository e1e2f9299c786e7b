"""Mistakes of the user of a command end it with one line."""

import errno
from pathlib import Path

import pytest

from app.errors import BadModel
from training.config.registry import RunError, UnknownRun
from training.evaluation.user_errors import UserError, one_line_errors


@pytest.mark.parametrize(
    "error",
    [
        UserError("Give --model."),
        BadModel("It is damaged."),
        RunError("It has run."),
        OSError("It is no HDF5 file."),
    ],
)
def test_a_known_error_ends_the_command_with_its_message(error: Exception) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error
    assert ended.value.code == str(error)


def test_an_unknown_run_has_the_status_of_a_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    error = UnknownRun("a", ["b"])
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error
    assert (ended.value.code, capsys.readouterr().err) == (2, f"{error}\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), "on the device for runs/a. Free some"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/tmp/a", None, "mine/a"),
            "on the device for mine/a. Free some",
        ),
        (
            OSError("write failed, errno = 28, No space left on device"),
            "No space is left on the device. Free",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs"),
            "runs cannot be used: Permission denied.",
        ),
    ],
)
def test_an_error_of_the_file_system_says_what_to_do(error: OSError, message: str) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error
    assert message in str(ended.value.code)


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
